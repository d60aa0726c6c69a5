"""The one place where an error becomes words on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from peernode.cli.refusals import NodeRefused
from peernode.errors import PeernodeError

FAILED = 1
INTERRUPTED = 130
TRACEBACK_VARIABLE = "PEERNODE_TRACEBACK"


def run_guarded() -> None:
    """Run the app; whatever it raises ends as a sentence and an exit code."""
    from peernode.cli.app import app

    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away: `peernode receipts list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except Exception as err:  # the last resort, for people
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        sys.exit(explain(err))


def explain(error: BaseException) -> int:
    """Write what went wrong to stderr; returns the exit code."""
    leaves = list(_leaves(error))
    typed = next((leaf for leaf in leaves if isinstance(leaf, PeernodeError)), None)
    if typed is None and any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    lines = _typed_lines(typed) if typed else _untyped_lines(leaves[0])
    sys.stderr.write("\n".join(lines) + "\n")
    return FAILED


def _typed_lines(error: PeernodeError) -> list[str]:
    lines = [f"error: {error.sentence}"]
    if error.cause:
        lines.append(f"  cause: {error.cause}")
    if error.remedy:
        lines.append(f"  remedy: {error.remedy}")
    code = error.reason if isinstance(error, NodeRefused) else error.code
    return [*lines, f"  code: {code}"]


def _untyped_lines(error: BaseException) -> list[str]:
    return [
        "error: peernode met an error of its own.",
        f"  cause: {type(error).__name__}",
        f"  remedy: Run it again with {TRACEBACK_VARIABLE}=1 and report what it prints.",
        "  code: internal",
    ]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside groups, which trio makes of anything that leaves a nursery."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
