"""Picture files through the reader: what comes out of good ones, and the refusals that bad ones end in."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from peernode.chat.errors import BadRequest
from peernode.engine.worker.vision import picture
from peernode.engine.worker.vision.picture import LONGEST_SIDE, read_picture


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, np.uint8), mode)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, over a few bytes of data."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"x")) + chunk(b"IEND", b"")


def refusal(data: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read_picture(data, "Picture 2")
    assert caught.value.param == "messages"
    assert caught.value.sentence.startswith("Picture 2 ")
    return caught.value


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_pixels_are_those_of_the_file(form):
    image = Image.new("RGB", (7, 5), (255, 0, 0))
    pixels = read_picture(saved(image, form), "Picture 1")
    assert pixels.shape == (5, 7, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == [255, 0, 0]).all()


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(form):
    pixels = read_picture(saved(Image.new("RGB", (40, 30), (200, 40, 90)), form), "Picture 1")
    assert np.abs(pixels.astype(int) - [200, 40, 90]).max() < 8


def test_a_phone_s_rotation_is_applied():
    image = Image.new("RGB", (40, 20), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 20, 20))  # the left half is black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    pixels = read_picture(saved(image, "JPEG", exif=exif), "Picture 1")
    assert pixels.shape == (40, 20, 3)
    assert pixels[5, 10].max() < 30
    assert pixels[35, 10].min() > 225


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode):
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0)).convert(mode)
    options = {"transparency": 0} if mode == "P" else {}
    assert (read_picture(saved(image, **options), "Picture 1") == 255).all()


def test_sixteen_bits_of_grey_keep_their_steps():
    grey = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    pixels = read_picture(saved(Image.fromarray(grey)), "Picture 1")
    assert np.abs(pixels[:, :, 0].astype(int) - (grey >> 8)).max() <= 1


def test_what_is_larger_than_a_projector_looks_at_is_made_smaller():
    pixels = read_picture(saved(noise(5000, 100), "JPEG"), "Picture 1")
    assert pixels.shape == (41, LONGEST_SIDE, 3)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"hello", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WAVEfmt ", b"%PDF-1.7"]
)
def test_what_is_no_picture_is_refused(data):
    refusal(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
def test_a_truncated_file_is_refused_and_not_half_grey(form, part):
    whole = saved(noise(64, 64), form)
    refusal(whole[: int(len(whole) * part)])


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (16_000, 16_000), (20_000, 1), (65_535, 65_535)])
def test_an_absurd_size_is_refused_from_the_header(width, height):
    began = time.perf_counter()
    refusal(png_claiming(width, height))
    assert time.perf_counter() - began < 1.0


def test_a_bomb_is_refused_before_it_is_decoded():
    data = saved(Image.new("1", (16_000, 16_000)))
    assert len(data) < 100_000
    assert "too large" in refusal(data).sentence


def test_a_file_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(picture, "MAX_BYTES", 100)
    assert "101 bytes" in refusal(bytes(101)).cause


def test_a_jpeg_of_endless_scans_is_refused():
    whole = saved(noise(64, 64), "JPEG", progressive=True)
    scan = whole.index(b"\xff\xda")
    assert "slow" in refusal(whole[:scan] + whole[scan:-2] * 100 + whole[-2:]).sentence


def test_formats_that_pillow_knows_and_we_do_not_want_are_refused():
    for form in ("TIFF", "BMP", "ICO", "PPM", "TGA"):
        assert "none of" in refusal(saved(noise(8, 8), form)).cause


def test_mutated_files_are_read_or_refused():
    rng = random.Random(3)
    wholes = [saved(noise(32, 24), form) for form in ("PNG", "JPEG", "GIF", "WEBP")]
    for _ in range(400):
        data = bytearray(rng.choice(wholes))
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            pixels = read_picture(bytes(data), "Picture 1")
        except BadRequest:
            continue
        assert pixels.ndim == 3
        assert max(pixels.shape) <= LONGEST_SIDE
