"""structlog for the whole program: readable on a terminal, JSON lines for machines, always to stderr.

A last processor removes what must never be logged (prompts, answers, keys) by field name, in case a caller slips.
Standard-library loggers of dependencies come through the same pipe, from WARNING on.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "console", "json"]
FORBIDDEN_FIELDS = frozenset(
    {
        "prompt",
        "messages",
        "content",
        "text",
        "answer",
        "delta",
        "seed_bytes",
        "key",
        "token",
        "authorization",
        "secret",
    }
)


def configure_logging(*, style: LogFormat = "auto", level: str = "info") -> None:
    """Set up structlog and the standard library's root logger; call once, when the program starts.

    ``auto`` means console on a terminal and JSON elsewhere. ``level`` is one of debug, info, warning, error.
    """
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_forbidden,
    ]
    render: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            shorten_node,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                pad_event_to=28,
                # The default one shows the local variables of every frame, and those hold prompts.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("peernode").setLevel(number)


def drop_forbidden(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the value of any field that may hold a prompt, an answer or a key."""
    for name in FORBIDDEN_FIELDS & event.keys():
        event[name] = "[not logged]"
    return event


def shorten_node(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """On a terminal the end of the node's own peer id is enough to tell two nodes apart."""
    if "node" in event:
        event["node"] = f"…{event['node'][-6:]}"
    return event
