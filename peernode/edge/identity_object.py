"""A statement and its report in JSON, and the same read back and held against what the asker knows. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from peernode.errors import PeernodeError
from peernode.wire.envelope import signed_bytes
from peernode.wire.errors import WireError
from peernode.wire.statement import REPORT_DATA_BYTES, SignedStatement, open_statement, report_data_of

# Where a report repeats what it is about: SEV-SNP's attestation report; TDX's quote, behind a header of 48 bytes.
_REPORT_DATA_AT = {"sev_guest": 0x50, "tdx_guest": 48 + 520}


class BadStatement(PeernodeError):
    """Not the answer of ``/v1/identity``, or one that was changed."""

    code = "bad_statement"


@dataclass(frozen=True, slots=True)
class Attested:
    """A report that ``provider`` made about ``about`` (64 bytes); ``aux`` may help to verify it."""

    provider: str
    about: bytes
    report: bytes
    aux: bytes = b""


@dataclass(frozen=True, slots=True)
class Unattested:
    """Why there is no report."""

    reason: str


class Statements(Protocol):
    """What a node says of itself. ``report`` is about 64 bytes, and blocks; ``attests``: it is more than a reason."""

    @property
    def attests(self) -> bool: ...

    def state(self, nonce: bytes) -> SignedStatement: ...

    def report(self, about: bytes) -> Attested | Unattested: ...


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


def identity_object(signed: SignedStatement, attested: Attested | Unattested) -> dict[str, Any]:
    """The answer of ``GET /v1/identity``: readable fields, what was signed, and the report or why there is none."""
    made = signed.statement
    found = attested if isinstance(attested, Attested) else None
    return {
        "object": "identity",
        "network": made.network,
        "peer_id": made.peer,
        "exchange_key": made.exchange_key.hex(),
        "version": made.version,
        "models": [{"id": model.id, "digest": model.digest.hex()} for model in made.models],
        "nonce": made.nonce.hex(),
        "at_ms": made.at_ms,
        "canonical": _text(signed_bytes(signed.envelope.kind, signed.envelope.body)),
        "signature": signed.envelope.signature.hex(),
        "signed": _text(signed.raw),
        "attestation": found
        and {
            "provider": found.provider,
            "report_data": found.about.hex(),
            "report": _text(found.report),
            "auxiliary": _text(found.aux) if found.aux else None,
        },
        "attestation_reason": attested.reason if isinstance(attested, Unattested) else None,
    }


def check_identity(
    answer: Mapping[str, Any], *, nonce: bytes | None = None, peer: str = ""
) -> tuple[SignedStatement, Sequence[Check]]:
    """What an answer proves offline, believing only what is signed. Raises BadStatement when nothing can be read.

    Whether a report is the vendor's own is for the vendor's verifier: here only that it is about this statement.
    """
    try:
        signed = open_statement(base64.b64decode(str(answer["signed"]), validate=True))
    except (KeyError, binascii.Error, ValueError) as err:
        raise BadStatement("This is not the answer of /v1/identity.", cause=type(err).__name__) from err
    except WireError as err:
        raise BadStatement(err.sentence, cause=err.cause) from err
    made = signed.statement
    checks = [Check("signature", True, f"by the key of {made.peer}")]
    if peer:
        checks.append(Check("peer", made.peer == peer, "the one expected" if made.peer == peer else made.peer))
    if nonce is not None:
        checks.append(Check("nonce", made.nonce == nonce, "the one sent" if made.nonce == nonce else "another"))
    if answer.get("attestation") is not None:
        checks.append(_check_report(answer["attestation"], report_data_of(signed.envelope)))
    return signed, checks


def _check_report(attestation: object, about: bytes) -> Check:
    name = "attestation"
    try:
        assert isinstance(attestation, Mapping)
        provider = str(attestation["provider"])[:40]
        report = base64.b64decode(str(attestation["report"]), validate=True)
    except (AssertionError, KeyError, ValueError):
        return Check(name, False, "it cannot be read")
    at = _REPORT_DATA_AT.get(provider)
    held = about in report if at is None else report[at : at + REPORT_DATA_BYTES] == about
    if not held:
        return Check(name, False, f"the report of {provider} is not about this statement")
    return Check(name, True, f"the report of {provider} is about this statement; have its vendor's verifier check it")


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
