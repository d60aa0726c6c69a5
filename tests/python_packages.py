"""Python packages for tests that do not go with our own: each list of them in an environment in the user's cache.

A list is a pip requirements file with exact versions of what is named in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

INSTALL_S = 900.0


class PipFailed(Exception):
    """The packages could not be installed; carries what pip said."""


def python_with(requirements: Path) -> Path:
    """The Python that has the packages of ``requirements``, installed once for each state of it. Raises PipFailed."""
    state = requirements.read_bytes() + sys.version.encode()
    name = f"{requirements.stem}-{hashlib.sha256(state).hexdigest()[:16]}"
    folder = Path(platformdirs.user_cache_dir("peernode")) / "clients" / name
    if not folder.is_dir():
        draft = folder.with_name(f"{name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            _run(sys.executable, "-m", "venv", str(draft))
            _run(str(draft / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(requirements))
            if not folder.exists():
                draft.rename(folder)  # half an installation is never found there
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder / "bin" / "python"


def _run(*command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_S, check=False
    )
    if done.returncode:
        raise PipFailed(f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}")
