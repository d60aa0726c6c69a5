"""Pictures by URL: only from domains that the operator listed, only over HTTPS, only so many bytes and seconds.

Owns the one way in which a request can make this node call out. What a picture holds is not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import httpx
import trio

from peernode.chat.errors import BadRequest
from peernode.wire.bounds import MAX_IMAGES_BYTES

MAX_FETCHED = 16
MAX_REDIRECTS = 3
FETCH_S = 10.0


class ImageFetcher(Protocol):
    """Whoever fetches a picture for a client."""

    async def fetch(self, url: str, param: str) -> bytes:
        """The bytes of the file. Raises BadRequest that names ``param``."""
        ...


class NoFetcher:
    """Fetches nothing: what a node does whose operator listed no domain."""

    async def fetch(self, url: str, param: str) -> bytes:
        raise _refusal(param, cause="no domains are listed")


class DomainFetcher:
    """Fetches from ``domains``, each a host's full name. ``transport`` stands in for the network in tests."""

    def __init__(self, domains: Iterable[str], *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._domains = frozenset(domain.lower() for domain in domains)
        self._transport = transport

    async def fetch(self, url: str, param: str) -> bytes:
        host = self._host_of(url, param)
        try:
            with trio.fail_after(FETCH_S):
                # No proxies, cookies or credentials of this machine's user: nothing of its own goes out.
                async with httpx.AsyncClient(transport=self._transport, trust_env=False, timeout=FETCH_S) as client:
                    for _ in range(MAX_REDIRECTS + 1):
                        found = await _get(client, url, param)
                        if isinstance(found, bytes):
                            return found
                        url = urljoin(url, found)
                        if self._host_of(url, param) != host:
                            raise _failure(param, "it redirects to another host")
        except trio.TooSlowError:
            raise _failure(param, f"not there after {FETCH_S:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            raise _failure(param, type(err).__name__) from err
        raise _failure(param, "it redirects for ever")

    def _host_of(self, url: str, param: str) -> str:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as err:
            raise BadRequest("The image URL is not a URL.", param=param) from err
        if parts.scheme.lower() != "https" or port not in (None, 443) or parts.username or parts.password:
            raise BadRequest("Only plain https image URLs are fetched.", param=param)
        if host not in self._domains:
            raise _refusal(param, cause=f"{host[:80]} is not among the listed domains")
        return host


async def fetch_all(wanted: Mapping[str, str], fetcher: ImageFetcher) -> dict[str, bytes]:
    """The files behind ``wanted`` (URL to parameter), one after the other. Raises BadRequest."""
    fetched: dict[str, bytes] = {}
    for url, param in wanted.items():
        if len(fetched) == MAX_FETCHED:
            raise BadRequest("Too many image URLs.", param=param, cause=f"at most {MAX_FETCHED} are fetched")
        fetched[url] = await fetcher.fetch(url, param)
        if sum(map(len, fetched.values())) > MAX_IMAGES_BYTES:
            raise _failure(param, "the images are too large together")
    return fetched


async def _get(client: httpx.AsyncClient, url: str, param: str) -> bytes | str:
    """The file, or where it is said to be instead."""
    async with client.stream("GET", url, headers={"Accept": "image/*", "Accept-Encoding": "identity"}) as answer:
        if answer.is_redirect:
            return answer.headers["Location"]
        if answer.status_code != 200:
            raise _failure(param, f"status {answer.status_code}")
        if not answer.headers.get("Content-Type", "").lower().startswith("image/"):
            raise _failure(param, "it is no image")
        data = bytearray()
        async for piece in answer.aiter_raw():
            data += piece
            if len(data) > MAX_IMAGES_BYTES:
                raise _failure(param, f"more than {MAX_IMAGES_BYTES} bytes")
        return bytes(data)


def _refusal(param: str, *, cause: str) -> BadRequest:
    return BadRequest(
        "Image URLs are not fetched, unless the operator of this node lists their domains.",
        param=param,
        cause=cause,
        remedy="Send the image as a data: URL, or have its host listed under image_domains.",
    )


def _failure(param: str, cause: str) -> BadRequest:
    return BadRequest("The image could not be fetched.", param=param, cause=cause)
