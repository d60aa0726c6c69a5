"""``GET /``: the page, under a policy that lets it run exactly its own script and speak to exactly this node.

The page holds nothing of anybody's: what it shows it asks for like any client, with the key that its reader enters. So
it is given to everybody who may call the node by its name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

PATH = "/"


def page_router() -> APIRouter:
    """The one route."""
    router = APIRouter(tags=["Page"])

    @router.get(PATH, summary="A page to chat in, and to see models, nodes and receipts", response_class=HTMLResponse)
    async def page() -> Response:
        return HTMLResponse(_page(), headers=_headers())

    return router


@cache
def _page() -> str:
    return files(__package__).joinpath("page.html").read_text("utf-8")


@cache
def _headers() -> dict[str, str]:
    policy = {
        "default-src": "'none'",
        "script-src": _only("script"),
        "style-src": _only("style"),
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cache-Control": "no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }


def _only(element: str) -> str:
    """The source expression of the page's one ``element``: the digest of what stands in it."""
    (inside,) = re.findall(rf"<{element}>(.*?)</{element}>", _page(), re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
