"""llama.cpp's ``llama-batched-bench`` and ``llama-server``, built once from the source that llama-cpp-python ships.

The tools are linked to the libraries of the installed package: same compiler flags, same kernels. Run directly, it
builds what is missing and prints the paths.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
from pathlib import Path

import llama_cpp
from bench_cache import bench_cache, replacing, run_quietly
from rival_packages import ensure_rival_packages

BATCHED_BENCH, SERVER = "llama-batched-bench", "llama-server"
TOOLS = {BATCHED_BENCH: "tools/batched-bench", SERVER: "tools/server"}
PACKAGE = "llama-cpp-python"


def llama_tool(name: str) -> Path:
    """The executable, built if need be (minutes). Raises SystemExit when that fails."""
    folder = _folder()
    executable = folder / "bin" / name
    if executable.exists():
        return executable
    source = llama_source() / "vendor" / "llama.cpp"
    build, recipe = folder / "build", folder / "recipe"
    recipe.mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("llama_tools.cmake"), recipe / "CMakeLists.txt")
    cmake, ninja = _build_program("cmake"), _build_program("ninja")
    configure = [cmake, "-S", recipe, "-B", build, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    configure += ["-DCMAKE_BUILD_TYPE=Release", f"-DLLAMA_SOURCE={source}", f"-DLLAMA_LIBRARIES={_libraries()}"]
    run_quietly(f"Preparing to build {name}", configure)
    run_quietly(
        f"Building {name} (once, a few minutes)", [cmake, "--build", build, "--target", name, "--parallel", "1"]
    )
    executable.parent.mkdir(exist_ok=True)
    with replacing(executable) as draft:
        shutil.copy2(build / TOOLS[name] / name, draft)
    return executable


def llama_source() -> Path:
    """The unpacked source package of the installed version, with llama.cpp and the example servers; fetched once."""
    source = _folder() / "source"
    if not source.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
            fetch = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--progress-bar", "off"]
            fetch += ["--no-binary", PACKAGE, "--no-deps", "--dest", scratch, f"{PACKAGE}=={_version()}"]
            run_quietly(f"Fetching the source of {PACKAGE} {_version()} (76 MB)", fetch)
            archive = next(Path(scratch).glob("*.tar.gz"))
            run_quietly("Unpacking it", ["tar", "-xzf", archive, "-C", scratch])
            next(path for path in Path(scratch).iterdir() if path.is_dir()).rename(source)
    return source


def tool_environment() -> dict[str, str]:
    """For a tool's process: it finds the package's libraries wherever they are now."""
    return {**os.environ, "LD_LIBRARY_PATH": str(_libraries())}


def _folder() -> Path:
    folder = bench_cache() / f"llama-{_version()}"
    folder.mkdir(exist_ok=True)
    return folder


def _version() -> str:
    return importlib.metadata.version(PACKAGE)


def _libraries() -> Path:
    return Path(llama_cpp.__file__).parent / "lib"


def _build_program(name: str) -> str:
    found = shutil.which(name)
    return found or str(ensure_rival_packages(name).parent / name)


if __name__ == "__main__":
    for tool in TOOLS:
        print(llama_tool(tool))
