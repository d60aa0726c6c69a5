"""What is fetched for a client, and all that is not."""

from __future__ import annotations

import httpx
import pytest
import trio

from peernode.chat.errors import BadRequest
from peernode.edge import image_fetcher
from peernode.edge.image_fetcher import DomainFetcher, fetch_all

URL = "https://pictures.example/cat.png"


def fetcher(answer):
    return DomainFetcher(["Pictures.example"], transport=httpx.MockTransport(answer))


def picture(_request, **headers):
    return httpx.Response(200, stream=httpx.ByteStream(b"PNG"), headers={"content-type": "image/png", **headers})


def moved(to):
    return lambda request: (
        picture(request) if request.url.path == "/here" else httpx.Response(302, headers={"location": to})
    )


async def refusal(url, answer=picture):
    with pytest.raises(BadRequest) as found:
        await fetcher(answer).fetch(url, "messages[0]")
    assert found.value.param == "messages[0]"
    return f"{found.value.sentence} {found.value.cause}"


async def test_a_picture_of_a_listed_domain():
    seen = []

    def answer(request):
        seen.append(request)
        return picture(request)

    assert await fetcher(answer).fetch(URL, "p") == b"PNG"
    assert await fetcher(moved("/here")).fetch(URL, "p") == b"PNG"
    assert "cookie" not in seen[0].headers and "authorization" not in seen[0].headers


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/cat.png",
        "https://pictures.example.other.example/cat.png",
        "http://pictures.example/cat.png",
        "https://pictures.example:8443/cat.png",
        "https://user:secret@pictures.example/cat.png",
        "https://127.0.0.1/cat.png",
        "https://[::1/cat.png",
        "https://pictures.example:x/cat.png",
        "file:///etc/passwd",
        "cat.png",
    ],
)
async def test_nothing_else_is_asked_for(url):
    def answer(_request):
        pytest.fail("it called out")

    await refusal(url, answer)


@pytest.mark.parametrize("to", ["https://other.example/here", "http://pictures.example/here", "https://127.0.0.1/here"])
async def test_a_redirect_to_another_host_is_not_followed(to):
    await refusal(URL, moved(to))


async def test_what_is_no_picture_is_refused(monkeypatch):
    monkeypatch.setattr(image_fetcher, "MAX_IMAGES_BYTES", 1000)
    assert "redirects for ever" in await refusal(URL, moved("/there"))
    assert "404" in await refusal(URL, lambda _: httpx.Response(404))
    assert "no image" in await refusal(URL, lambda _: httpx.Response(200, text="<html>"))
    large = httpx.Response(200, stream=httpx.ByteStream(bytes(1001)), headers={"content-type": "image/png"})
    assert "1000 bytes" in await refusal(URL, lambda _: large)
    with pytest.raises(BadRequest):
        await fetch_all({f"{URL}?{at}": "p" for at in range(20)}, fetcher(picture))


async def test_a_slow_server_is_given_up(autojump_clock):
    async def answer(_request):
        await trio.sleep_forever()

    assert "10 s" in await refusal(URL, answer)


async def test_a_node_without_listed_domains_says_how_to_get_it(edge):
    content = [{"type": "image_url", "image_url": {"url": URL}}]
    answer = await edge.chat(messages=[{"role": "user", "content": content}])
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "messages[0].content[0].image_url.url")
    assert "image_domains" in error["metadata"]["remedy"]
