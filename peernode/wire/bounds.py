"""How large a request may be on its way: in the HTTP body, in an offer to a peer, and on the engine's socket.

One place for all of them, because each must carry what the one before it let in. Bytes throughout.
"""

from __future__ import annotations

# All images of one request together, as files.
MAX_IMAGES_BYTES = 20 << 20
# The rest of a canonical request: words, tools, schemas.
MAX_WORDS_BYTES = 640 << 10
# An offer holds the request and, beside it, the token ids of earlier parts.
MAX_OFFER_BYTES = MAX_IMAGES_BYTES + (1 << 20)
# The frame that opens a job conversation; every later one keeps to the ordinary bound of a frame.
MAX_OFFER_FRAME_BYTES = MAX_OFFER_BYTES + 64
# A job on its way to the worker: the request, and earlier tokens at up to five bytes each.
MAX_WORKER_FRAME_BYTES = MAX_IMAGES_BYTES + (4 << 20)
# A request as JSON: images take a third more in base64, and words up to six bytes a character when all are escaped.
MAX_BODY_BYTES = MAX_IMAGES_BYTES // 3 * 4 + (4 << 20)
