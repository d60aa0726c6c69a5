"""What the other servers need, in a virtual environment of its own, so that the project's holds only what it uses.

It sees the project's packages, too: both sides run the same llama-cpp-python, compiled once.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from bench_cache import bench_cache, run_quietly


def ensure_rival_packages(*requirements: str) -> Path:
    """The environment's Python, with ``requirements`` installed. Raises SystemExit when that fails."""
    folder = bench_cache() / f"packages-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    stamp = folder / "installed"
    if not python.exists():
        venv.create(folder, with_pip=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(site) / "project.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    known = set(stamp.read_text().splitlines()) if stamp.exists() else set[str]()
    missing = sorted(set(requirements) - known)
    if missing:
        install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *missing]
        run_quietly(f"Installing for the other servers: {', '.join(missing)}", install)
        stamp.write_text("\n".join(sorted(known | set(missing))))
    return python
