"""Ties the worker to its owner and bounds it: dies with it, leaves no core dump, goes first when memory ends.

What a limit here does and does not contain is in docs/decisions.md ("Containment").
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_STDERR = 2
# The model's parts, the socket, and what a GPU driver opens.
_MOST_FILES = 1024
_FIRST_TO_GO = 500
_LEAST_DATA = 1 << 30


def tie_to_owner(owner: int) -> None:
    """Call first. Exits at once when the owner (a process id) has already gone.

    The end of the socket also ends the worker; the signal is for when it is deep in native code.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the owner decides when to end
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold what people said
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _volunteer()
    if os.getppid() != owner:
        sys.exit(0)


def bound_files(descriptor: int) -> None:
    """Close whatever was inherited besides the standard streams and ``descriptor``, and open no great number."""
    os.closerange(_STDERR + 1, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))  # before the limit that this asks for is lowered
    _lower(resource.RLIMIT_NOFILE, _MOST_FILES)


def limit_data(size: int) -> None:
    """From now on, private memory beyond ``size`` bytes is refused: an allocation fails, which llama.cpp reports.

    Mapped weights do not count, so this is safe where an address-space limit is not. Not for GPU drivers, which
    reserve far more than they use.
    """
    _lower(resource.RLIMIT_DATA, max(size, _LEAST_DATA))


def _lower(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]
    bounded = most if hard == resource.RLIM_INFINITY else min(hard, most)
    resource.setrlimit(limit, (bounded, bounded))


def _volunteer() -> None:
    """When the system runs out of memory, let it take the worker, which is replaced, and not the node."""
    path = Path("/proc/self/oom_score_adj")
    try:
        if int(path.read_text(encoding="ascii")) < _FIRST_TO_GO:
            path.write_text(str(_FIRST_TO_GO), encoding="ascii")
    except (OSError, ValueError) as err:
        print(f"oom_score_adj is not ours to set: {err}", file=sys.stderr)  # noqa: T201 - stderr is the worker's log
