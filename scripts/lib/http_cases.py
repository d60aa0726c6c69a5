"""Requests that no good client sends, made from a seed: each a few pieces of bytes for one connection. Pure.

The same seed and number give the same case, so that what broke something can be sent again by itself.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Rng: TypeAlias = random.Random
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/api/chat", "/api/tools", "/")
READ_PATHS = ("/healthz", "/v1/models", "/openapi.json", "/docs", "/v1/usage", "/nowhere", "/api/recent")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent: ``pieces``, with a pause of ``pause_s`` after each, and how it ends."""

    kind: str
    pieces: tuple[bytes, ...]
    pause_s: float = 0.0
    end: Literal["close", "eof", "reset"] = "close"


def request(method: bytes, path: bytes, *headers: bytes, body: bytes = b"", host: bytes = b"Host: localhost") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", host, *headers, b"", b""]) + body


def good(rng: Rng) -> bytes:
    """A request that is answered, by a node without models with a refusal at most."""
    if rng.random() < 0.4:
        return request(b"GET", rng.choice(READ_PATHS).encode())
    body = json.dumps({"model": f"m{rng.randrange(9)}", "messages": [{"role": "user", "content": "hi"}]}).encode()
    return request(b"POST", rng.choice(PATHS).encode(), b"Content-Length: %d" % len(body), body=body)


def _noise(rng: Rng, most: int) -> bytes:
    return rng.randbytes(rng.randrange(1, most))


def _damaged(rng: Rng) -> tuple[bytes, ...]:
    data = bytearray(good(rng) + good(rng))
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at:at] = _noise(rng, 9)
            case 2:
                del data[at : at + rng.randrange(1, 9)]
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 200)]
    return (bytes(data),)


def _chunked(rng: Rng) -> tuple[bytes, ...]:
    size = rng.choice(
        [b"zz", b"-5", b"+5", b"0x5", b"FFFFFFFFFFFFFFFF", b"5" * 40, b"", b" 5", b"5 ", b"5;" + b"x" * 70_000, b"\0"]
    )
    good_chunk = b"5\r\nhello\r\n"
    body = rng.choice(
        [
            size + b"\r\nhello\r\n0\r\n\r\n",
            good_chunk * rng.randrange(1, 2000) + size + b"\r\n",
            b"1\r\nx\r\n" * rng.randrange(1, 20_000) + b"0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\nhello\n0\n\n",
            good_chunk + b"0\r\n" + b"T: v\r\n" * rng.randrange(1, 20_000) + b"\r\n",
        ]
    )
    return request(b"POST", b"/v1/chat/completions", b"Transfer-Encoding: chunked"), body


def _headers(rng: Rng) -> tuple[bytes, ...]:
    headers = rng.choice(
        [
            [b"X-%d: y" % number for number in range(rng.randrange(1, 8000))],
            [b"X: " + b"y" * rng.randrange(1, 300_000)],
            [b"X" * rng.randrange(1, 300_000) + b": y"],
            [b"X : y"],
            [b": y"],
            [b"X: a\r\n b\r\n\tc"],
            [b"X: " + _noise(rng, 200)],
            [b"Host: evil.example"],
            [b"Authorization: Bearer " + _noise(rng, 99).hex().encode()] * rng.randrange(1, 50),
            [b"Idempotency-Key: " + _noise(rng, 400).hex().encode()],
            [b"Origin: " + rng.choice([b"null", b"http://evil.example", b"\xff", b"http://localhost"])],
            [b"Expect: 100-continue", b"Content-Length: 10"],
            [b"Connection: close, keep-alive, upgrade", b"Keep-Alive: timeout=99999999"],
        ]
    )
    host = rng.choice([b"Host: localhost"] * 4 + [b"Host:", b"host: [::1", b"Host: a b", b"X-Host: localhost"])
    return (request(rng.choice([b"GET", b"POST"]), b"/v1/models", *headers, host=host),)


def _lengths(rng: Rng) -> tuple[bytes, ...]:
    length = rng.choice([b"-1", b"+5", b"0x10", b"1e3", b"9" * 30, b"", b"5, 5", b"5, 6", b" 5 ", b"\xb2", b"99999999"])
    more = rng.choice([(), (b"Content-Length: 5",), (b"Content-Length: 6",)])
    return (request(b"POST", b"/v1/chat/completions", b"Content-Length: " + length, *more, body=_noise(rng, 3000)),)


def _smuggling(rng: Rng) -> tuple[bytes, ...]:
    coding = rng.choice([b"chunked", b"Chunked", b" chunked", b"chunked ", b"\tchunked"])
    body = b"0\r\n\r\n" + SMUGGLED
    pair = [b"Transfer-Encoding: " + coding, b"Content-Length: %d" % rng.choice([0, 4, 5, 6, len(body)])]
    rng.shuffle(pair)
    return (request(b"POST", rng.choice(PATHS).encode(), *pair, body=body),)


def _codings(rng: Rng) -> tuple[bytes, ...]:
    coding = rng.choice(
        [b"gzip", b"chunked, identity", b"x, chunked", b"chunked, chunked", b"xchunked", b"\x0bchunked"]
    )
    return (request(b"POST", b"/v1/completions", b"Transfer-Encoding: " + coding, body=b"0\r\n\r\n" + SMUGGLED),)


def _pipelined(rng: Rng) -> tuple[bytes, ...]:
    return (b"".join(good(rng) for _ in range(rng.randrange(2, 60))),)


def _slow(rng: Rng) -> tuple[bytes, ...]:
    data = good(rng)
    cuts = sorted(rng.randrange(len(data)) for _ in range(rng.randrange(2, 8)))
    return tuple(data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True))


def _frame(rng: Rng) -> bytes:
    kind, flags = rng.randrange(12), rng.randrange(256)
    body = rng.choice([b"", rng.randbytes(4), rng.randbytes(8), _noise(rng, 200)])
    length = len(body) if rng.random() < 0.8 else rng.randrange(1 << 24)
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", rng.randrange(9)) + body


def _h2_get(stream: int, flags: int = 5) -> bytes:
    """The frame of a GET of ``/`` from localhost; flags 5 end the headers and the stream."""
    block = b"\x82\x84\x86\x41\x09localhost"
    return struct.pack(">I", len(block))[1:] + bytes([1, flags]) + struct.pack(">I", stream) + block


def _http2(rng: Rng) -> tuple[bytes, ...]:
    window_0 = b"\0\0\x06\4\0\0\0\0\0" + b"\0\4\0\0\0\0"
    settings = rng.choice([b"\0\0\0\4\0\0\0\0\0"] * 3 + [window_0])
    reset = b"\0\0\4\3\0\0\0\0\1\0\0\0\x08"
    gets = b"".join(_h2_get(1 + 2 * number) for number in range(rng.randrange(1, 40)))
    floods = [settings, b"\0\0\x08\6\0\0\0\0\0" + bytes(8), _h2_get(1) + reset]
    frames = b"".join(_frame(rng) for _ in range(20))
    more = rng.choice(
        [
            gets,
            gets,
            gets + frames,
            frames,
            rng.choice(floods) * 300,
            _h2_get(1, 4) + frames,
            good(rng) + _noise(rng, 500),
        ]
    )
    return PREFACE + settings, more


def _upgrade(rng: Rng) -> tuple[bytes, ...]:
    wanted = rng.choice([b"h2c", b"websocket", b"TLS/1.0", b"h2c, websocket", _noise(rng, 20).hex().encode()])
    further = rng.choice(
        [
            [b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"],
            [b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAI"],
            [b"HTTP2-Settings: !!", b"HTTP2-Settings: "],
            [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
            [b"Sec-WebSocket-Version: 99"],
        ]
    )
    head = request(b"GET", b"/healthz", b"Connection: Upgrade", b"Upgrade: " + wanted, *further)
    return head, rng.choice([b"", PREFACE, _noise(rng, 300)])


def _truncated(rng: Rng) -> tuple[bytes, ...]:
    data = good(rng)
    return (data[: rng.randrange(len(data))],)


def _targets(rng: Rng) -> tuple[bytes, ...]:
    target = rng.choice(
        [
            b"*",
            b"//",
            b"/%00",
            b"/..%2f..%2fetc/passwd",
            b"http://evil/",
            b"/\xff\xfe",
            b"/" + b"a" * 70_000,
            b"?",
            b"/?" + b"a=b&" * 9000,
        ]
    )
    method = rng.choice([b"GET", b"CONNECT", b"OPTIONS", b"TRACE", b"G\0T", b"x" * 5000, b"PRI", b"get"])
    version = rng.choice([b"HTTP/1.1"] * 3 + [b"HTTP/0.9", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"ICY"])
    return (method + b" " + target + b" " + version + b"\r\nHost: localhost\r\n\r\n",)


def _bodies(rng: Rng) -> tuple[bytes, ...]:
    body = rng.choice(
        [
            b"[" * rng.randrange(1, 60_000),
            b'{"a":' * rng.randrange(1, 20_000),
            b'{"model": "m", "messages": ' + b"9" * rng.randrange(1, 9000) + b"}",
            b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}',
            b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": 1e999, "n": -1}',
            b"\xef\xbb\xbf{}",
            _noise(rng, 5000),
            b'"' + b"a" * rng.randrange(1, 400_000) + b'"',
        ]
    )
    return (request(b"POST", rng.choice(PATHS).encode(), b"Content-Length: %d" % len(body), body=body),)


KINDS: Mapping[str, Callable[[Rng], tuple[bytes, ...]]] = {
    "bodies": _bodies,
    "chunked": _chunked,
    "codings": _codings,
    "damaged": _damaged,
    "headers": _headers,
    "http2": _http2,
    "lengths": _lengths,
    "noise": lambda rng: (_noise(rng, 4000),),
    "pipelined": _pipelined,
    "slow": _slow,
    "smuggling": _smuggling,
    "targets": _targets,
    "truncated": _truncated,
    "upgrade": _upgrade,
}


def make_case(seed: int, number: int) -> Case:
    """The case of this number; all kinds take turns."""
    rng = random.Random(f"{seed}/{number}")
    kind = sorted(KINDS)[number % len(KINDS)]
    pieces = KINDS[kind](rng)
    pause_s = rng.uniform(0.001, 0.03) if kind == "slow" else 0.0
    return Case(kind, pieces, pause_s, rng.choice(["close", "close", "eof", "reset"]))
