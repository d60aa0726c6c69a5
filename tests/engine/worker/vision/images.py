"""Image files in memory, and questions about them."""

from __future__ import annotations

import io

from PIL import Image as Pillow

from peernode.chat.job import ChatJob
from peernode.chat.message import Image, Message
from peernode.chat.request import ChatRequest
from peernode.chat.sampling import Sampling


def file_of(colour: tuple[int, int, int], width: int = 48, height: int = 40, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (width, height), colour).save(buffer, form)
    return buffer.getvalue()


RED, BLUE = file_of((255, 0, 0)), file_of((0, 0, 255))


def looking(
    *files: bytes, said: str = "What is this?", max_tokens: int = 12, continue_from: tuple[int, ...] = ()
) -> ChatJob:
    """A question whose images stand in front of it."""
    message = Message("user", said, images=tuple(Image(0, data) for data in files))
    request = ChatRequest((message,), max_tokens, (), Sampling.of(temperature=0.0), top_logprobs=5)
    return ChatJob("req_test", "test-model", request, 1, continue_from=continue_from)
