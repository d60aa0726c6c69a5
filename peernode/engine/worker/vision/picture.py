"""Picture files from strangers: decoded under limits into RGB pixels, or refused with a sentence that says why.

Size and format are known from the header before anything is decoded. The file's own rotation is applied, transparency
becomes white, and what is larger than any projector looks at is made smaller.
"""

from __future__ import annotations

import io
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from peernode.chat.errors import BadRequest

# uint8, (height, width, 3)
Pixels: TypeAlias = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MAX_BYTES = 20 << 20
MAX_PIXELS = 40_000_000
MAX_SIDE = 16_384
# Each scan of a progressive JPEG is a pass over all its pixels, whatever the file's size; cameras write about ten.
MAX_SCANS = 100
LONGEST_SIDE = 2048


def read_picture(data: bytes, name: str) -> Pixels:
    """The pixels of one file. Raises BadRequest, which calls it ``name`` ("Image 2")."""
    if len(data) > MAX_BYTES:
        raise _refused(name, "is too large", f"{len(data)} bytes, at most {MAX_BYTES} are allowed")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check(image, data, name)
            return _pixels(image)
    except BadRequest:
        raise
    except UnidentifiedImageError:
        found = f"{len(data)} bytes that are none of {', '.join(FORMATS)}" if data else "it is empty"
        raise _refused(name, "is not an image that this node can read", found) from None
    except Image.DecompressionBombError:
        raise _refused(name, "is too large", f"more than {MAX_PIXELS} pixels") from None
    # Pillow's readers raise whatever their parsing stumbles over: OSError, SyntaxError, struct.error, IndexError …
    except Exception as err:  # noqa: BLE001
        raise _refused(name, "is damaged or cut short", type(err).__name__) from None


def _check(image: Image.Image, data: bytes, name: str) -> None:
    width, height = image.size
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise _refused(
            name, "is too large", f"{width} x {height}, at most {MAX_PIXELS} pixels and {MAX_SIDE} a side are allowed"
        )
    if image.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise _refused(name, "is too slow to decode", f"a JPEG of more than {MAX_SCANS} scans")


def _pixels(image: Image.Image) -> Pixels:
    bound = (LONGEST_SIDE, LONGEST_SIDE)
    image.draft("RGB", bound)  # a JPEG may be decoded at half its size or less
    image.load()
    flat = _without_alpha(ImageOps.exif_transpose(image))
    flat.thumbnail(bound, reducing_gap=2.0)
    return np.array(flat, np.uint8)


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, of which conversion would keep the darkest 256 steps
        return Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    shown = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(shown, mask=shown.getchannel("A"))
    return paper


def _refused(name: str, what: str, cause: str) -> BadRequest:
    return BadRequest(
        f"{name} {what}.", param="messages", cause=cause, remedy="Send a smaller or another file, JPEG or PNG at best."
    )
