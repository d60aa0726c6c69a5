"""What this machine has for models: memory, cores, and whether llama.cpp was built for its GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peernode.engine.machine import available_memory, cpu_quota, whole_cpus

ASK_S = 60.0
# In a process of its own: a library for a GPU that is not there may end it.
_QUESTION = "import llama_cpp; print(llama_cpp.__version__, int(bool(llama_cpp.llama_supports_gpu_offload())))"
_DEVICES = {"NVIDIA": "dev/nvidia0", "AMD": "dev/kfd", "a graphics card": "dev/dri/renderD128"}


@dataclass(frozen=True, slots=True)
class MachineView:
    """``llama_cpp`` is its version, empty where it does not run; ``offloads``: it was built for some GPU."""

    memory: int | None
    cpus: int
    devices: Sequence[str]
    llama_cpp: str
    offloads: bool


def machine_view(root: Path = Path("/"), question: str = _QUESTION) -> MachineView:
    """Takes a second, for llama.cpp is started."""
    devices = [name for name, place in _DEVICES.items() if (root / place).exists()]
    version, offloads = _ask(question)
    cpus = whole_cpus(cpu_quota(root), len(os.sched_getaffinity(0)))
    # The last is any card at all: of interest only where it is nobody's that we know.
    return MachineView(available_memory(root), cpus, devices[:1], version, offloads)


def _ask(question: str) -> tuple[str, bool]:
    command = [sys.executable, "-c", question]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ASK_S).stdout.split()
        return said[-2], said[-1] == "1"
    except (OSError, subprocess.SubprocessError, IndexError):
        return "", False
