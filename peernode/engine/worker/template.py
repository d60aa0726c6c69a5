"""Renders a model's chat template, which comes from the model file and is not to be trusted.

Owns the sandbox: immutable values, no big repetitions or powers, one second of time, a bound on memory and on what
comes out. A template is rendered once on samples when the model is loaded, so that a broken or hostile one is
refused there and not in the middle of a job. Time limits need the main thread (SIGALRM).
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
from typing import Any, TypeAlias

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from peernode.errors import PeernodeError
from peernode.wire import canonical

TurnDict: TypeAlias = dict[str, str]

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TIME_LIMIT_S = 1.0
# Python code is stopped by the alarm; this stops a single C call that never returns, and the process with it.
_LAST_RESORT_S = 20.0
_EXTRA_MEMORY = 512 << 20
MAX_TEMPLATE = 1 << 20
MAX_RENDERED = 16 << 20
_SAMPLE: list[TurnDict] = [{"role": "user", "content": "Hello"}]
_SYSTEM: TurnDict = {"role": "system", "content": "Be brief."}


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


class ChatTemplate:
    """``render`` makes one prompt text of a list of messages. ``digest`` names the template in receipts."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "", time_limit_s: float = TIME_LIMIT_S) -> None:
        """Raises TemplateFailed when the template is too large, is no template, or fails on a sample."""
        if len(source) > MAX_TEMPLATE:
            raise TemplateFailed("The chat template is too large.", cause=f"{len(source)} characters")
        self.digest = canonical.digest(source.encode())
        self._time_limit_s = time_limit_s
        self._names = {"bos_token": bos, "eos_token": eos}
        with _limits(time_limit_s):
            self._template = _environment().from_string(source)
        self.render(_SAMPLE)
        self._folds_system = not self._takes_system()

    def render(self, messages: list[TurnDict]) -> str:
        """Raises TemplateFailed."""
        if getattr(self, "_folds_system", False):
            messages = _fold_system(messages)
        size = 0
        pieces = []
        with _limits(self._time_limit_s):
            for piece in self._template.generate(messages=messages, add_generation_prompt=True, **self._names):
                size += len(piece)
                if size > MAX_RENDERED:
                    raise TemplateFailed("The chat template renders too much text.", cause=f"over {MAX_RENDERED}")
                pieces.append(piece)
        return "".join(pieces)

    def _takes_system(self) -> bool:
        try:
            return _SYSTEM["content"] in self.render([_SYSTEM, *_SAMPLE])
        except TemplateFailed:
            return False


def _environment() -> jinja2.Environment:
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.filters["tojson"] = _tojson
    for slow in ("urlize", "wordwrap"):  # regular expressions over whatever a template makes up
        del environment.filters[slow]
    return environment


def _raise_exception(reason: object) -> None:
    raise jinja2.TemplateError(str(reason)[:200])


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now(tz=datetime.UTC).strftime(pattern)


def _tojson(value: Any, indent: int | None = None, **_: Any) -> str:  # noqa: ANN401 - whatever the template holds
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _fold_system(messages: list[TurnDict]) -> list[TurnDict]:
    """For templates that know no system role: its words open the first turn of the user."""
    words = [turn["content"] for turn in messages if turn["role"] == "system"]
    others = [turn for turn in messages if turn["role"] != "system"]
    if not words:
        return messages
    for at, turn in enumerate(others):
        if turn["role"] == "user":
            others[at] = {**turn, "content": "\n\n".join([*words, turn["content"]])}
            return others
    return [{"role": "user", "content": "\n\n".join(words)}, *others]


@contextlib.contextmanager
def _limits(seconds: float) -> Iterator[None]:
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
