"""The sandbox for chat templates, which come from model files and are not to be trusted.

Immutable values, no big repetitions or powers, one second of time and a bound on memory. Time limits need the main
thread (SIGALRM).
"""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from peernode.errors import PeernodeError

TIME_LIMIT_S = 1.0
# Python code is stopped by the alarm; this stops a single C call that never returns, and the process with it.
_LAST_RESORT_S = 20.0
_EXTRA_MEMORY = 512 << 20


class TemplateFailed(PeernodeError):
    """The template did not render: it objects to these messages, is broken, or took too much."""

    code = "template_failed"


class _TimeIsUp(BaseException):
    """Not an Exception, so that nothing inside a template can swallow it."""


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - as in jinja2
        numbers = all(isinstance(side, (int, float)) and abs(side) < 2**63 for side in (left, right))
        ruler = operator == "*" and isinstance(left, str) and isinstance(right, int) and len(left) * right < 4096
        if operator == "**" or not (numbers or ruler):
            raise jinja2.TemplateRuntimeError(f"operator {operator} is not allowed here")
        return super().call_binop(context, operator, left, right)


def environment() -> jinja2.Environment:
    made = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = _strftime_now
    made.filters["tojson"] = _tojson
    for slow in ("urlize", "wordwrap"):  # regular expressions over whatever a template makes up
        del made.filters[slow]
    return made


def _raise_exception(reason: object) -> None:
    raise jinja2.TemplateError(str(reason)[:200])


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now(tz=datetime.UTC).strftime(pattern)


def _tojson(value: Any, indent: int | None = None, **_: Any) -> str:  # noqa: ANN401 - whatever the template holds
    return json.dumps(value, ensure_ascii=False, indent=indent)


@contextlib.contextmanager
def limits(seconds: float) -> Iterator[None]:
    """Bound time and memory, and turn whatever a template raises into TemplateFailed."""
    try:
        with _bounded_time(seconds), _bounded_memory():
            yield
    except _TimeIsUp:
        raise TemplateFailed("The chat template takes too long.", cause=f"over {seconds:g} s") from None
    except TemplateFailed:
        raise
    except MemoryError as err:
        raise TemplateFailed("The chat template takes too much memory.") from err
    # Template code can raise anything; a message may quote what was said, so only raise_exception's own is kept.
    except Exception as err:  # noqa: BLE001
        cause = str(err) if type(err) is jinja2.TemplateError else type(err).__name__
        raise TemplateFailed("The chat template does not accept these messages.", cause=cause) from None


@contextlib.contextmanager
def _bounded_time(seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _on_alarm)
    faulthandler.dump_traceback_later(_LAST_RESORT_S, exit=True, file=2)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    raise _TimeIsUp


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """Lower the soft limit of address space to a little more than is in use."""
    try:
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        yield  # not Linux: time and output are still bounded
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = used + _EXTRA_MEMORY
    if soft != resource.RLIM_INFINITY:
        bound = min(bound, soft)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
