"""The log holds no prompt, answer or key, whatever a caller or an exception carries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from peernode.telemetry import configure_logging
configure_logging(style={style!r}, level="info")
log = structlog.get_logger("peernode.test")
log.info("fine", request_id="req_1", prompt="SECRET", messages=["SECRET"], key=b"SECRET", text="SECRET")
log.debug("below_the_level")
def fails(messages):
    raise RuntimeError("it broke")
try:
    fails("SEC" + "RET prompt")
except RuntimeError:
    log.exception("broken")
import logging
logging.getLogger("some.library").warning("from a library")
logging.getLogger("some.library").info("too much detail")
"""


def run(style: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(style=style)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("style", ["json", "console", "auto"])
def test_secrets_never_reach_the_log(style: str) -> None:
    said = run(style)
    assert "req_1" in said
    assert "it broke" in said
    assert "from a library" in said
    assert "too much detail" not in said
    assert "below_the_level" not in said
    assert "SECRET" not in said.replace('"SEC" + "RET', "")


def test_machines_get_one_json_object_a_line() -> None:
    lines = [json.loads(line) for line in run("json").splitlines()]
    assert [line["event"] for line in lines] == ["fine", "broken", "from a library"]
    assert all({"level", "timestamp"} <= line.keys() for line in lines)
    assert "Traceback" in lines[1]["exception"]
