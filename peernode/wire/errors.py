"""What can be wrong with bytes that came from somebody else."""

from __future__ import annotations

from peernode.errors import PeernodeError


class WireError(PeernodeError):
    """Bytes that are not what they claim to be; the base of everything this room raises."""

    code = "bad_bytes"


class NotCanonical(WireError):
    """The bytes decode, but are not the one canonical encoding of what they say."""

    code = "not_canonical"


class BadSchema(WireError):
    """The value is canonical but a field is missing, of the wrong type or out of range."""

    code = "bad_schema"


class BadSignature(WireError):
    """The signature does not belong to the key in the peer id that the body names."""

    code = "bad_signature"


class WrongNetwork(WireError):
    """Signed for another network; valid there perhaps, worthless here."""

    code = "wrong_network"


class BadPeerId(WireError):
    """Not the text or bytes of an ed25519 libp2p peer id."""

    code = "bad_peer_id"


class BadProof(WireError):
    """What a proof is said to prove does not follow from it."""

    code = "bad_proof"
