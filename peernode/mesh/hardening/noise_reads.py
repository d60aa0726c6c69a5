"""libp2p 0.8.1 goes through a dozen calls and two reads of the socket for each encrypted message.

On a machine that is busy with a model they are cold code, and cost more than the decryption. Mended with one place that
keeps what came and takes whole messages from it. Source: libp2p noise specification, "Wire Format".
"""

from __future__ import annotations

from libp2p.io.exceptions import IncompleteReadError
from libp2p.security.noise.io import SIZE_NOISE_MESSAGE_LEN, NoiseTransportReadWriter

# As little as that, because what was read is worked off before the socket is asked again.
READ_BYTES = 16 * 1024


async def _read_msg(self: NoiseTransportReadWriter, prefix_encoded: bool = False) -> bytes:
    """The next message, decrypted. Raises ``IncompleteReadError`` at the end, a clean one between two messages."""
    came: bytearray = self.__dict__.setdefault("_came", bytearray())
    size = SIZE_NOISE_MESSAGE_LEN
    while len(came) < size or len(came) < (size := SIZE_NOISE_MESSAGE_LEN + int.from_bytes(came[:2], "big")):
        more = await self.read_writer.read_write_closer.read(READ_BYTES)
        if not more:
            raise IncompleteReadError(
                "Connection closed during read operation", expected_bytes=size, received_bytes=len(came)
            )
        came += more
    message = bytes(came[SIZE_NOISE_MESSAGE_LEN:size])
    del came[:size]
    data: bytes = self.decrypt(message[len(self.prefix) :] if prefix_encoded else message)
    return data


def mend() -> None:
    """Take whole messages from what came."""
    NoiseTransportReadWriter.read_msg = _read_msg
