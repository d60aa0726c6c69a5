"""Pictures in a request: data URLs and plain base64, and remote ones by way of what was fetched for them beforehand."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.message import MAX_IMAGES
from peernode.edge.openai.fields import kind_of
from peernode.wire.bounds import MAX_IMAGES_BYTES

Fetched = Mapping[str, bytes]
MAX_URL = 8192
_DATA = re.compile(r"data:(?:image/[A-Za-z0-9.+-]{1,64})?(?:;[A-Za-z0-9.+=-]{1,64})*;base64,", re.IGNORECASE)


def read_image_part(part: Mapping[str, Any], param: str, fetched: Fetched) -> bytes:
    """The file behind ``{"type": "image_url", "image_url": {"url": …}}``. Raises BadRequest."""
    url, param = _url_of(part, param)
    if url[:5].lower() != "data:":
        if url in fetched:
            return fetched[url]
        raise BadRequest("Image URLs are not fetched here.", param=param, remedy="Send the image as a data: URL.")
    head = _DATA.match(url[:256])
    if head is None:
        raise BadRequest(
            f"{param} is not a data URL of an image in base64.",
            param=param,
            remedy="Send data:image/png;base64, and the file.",
        )
    return read_base64(url[head.end() :], param)


def read_base64(text: object, param: str) -> bytes:
    """Raises BadRequest."""
    if not isinstance(text, str):
        raise BadRequest(f"{param} must be a string.", param=param, cause=f"found {kind_of(text)}")
    if len(text) > MAX_IMAGES_BYTES // 3 * 4 + 4:
        raise too_large(param)
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as err:
        raise BadRequest(f"{param} is not base64.", param=param) from err
    if not data:
        raise BadRequest(f"{param} is an empty image.", param=param)
    return data


def too_large(param: str) -> BadRequest:
    """The refusal of more image bytes than a request may hold."""
    return BadRequest("The images are too large.", param=param, cause=f"at most {MAX_IMAGES_BYTES} bytes together")


def remote_images(body: Mapping[str, Any]) -> dict[str, str]:
    """Every image URL in ``body`` that would have to be fetched, with the parameter it stands in."""
    return {url: param for url, param in _urls(body.get("messages")) if url[:5].lower() != "data:"}


def _urls(messages: object) -> Iterator[tuple[str, str]]:
    for at, message in enumerate(messages) if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for place, part in enumerate(content[:MAX_IMAGES]) if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") == "image_url":
                yield _url_of(part, f"messages[{at}].content[{place}]")


def _url_of(part: Mapping[str, Any], param: str) -> tuple[str, str]:
    """The URL and its own parameter's name; some clients leave the object around it out."""
    found, param = part.get("image_url"), f"{param}.image_url"
    if isinstance(found, dict):
        found, param = found.get("url"), f"{param}.url"
    if not isinstance(found, str) or not found:
        raise BadRequest(f"{param} must be a URL.", param=param, cause=f"found {kind_of(found)}")
    if len(found) > MAX_URL and found[:5].lower() != "data:":
        raise BadRequest(f"{param} is too long.", param=param)
    return found, param
