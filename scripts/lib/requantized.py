"""The same model in another quantization: what a row of a batch costs beside another depends on llama.cpp's kernels,
and those differ by quantization. A copy made of quantized weights loses a little more; only its speed is measured.
"""

from __future__ import annotations

from pathlib import Path

import llama_cpp
from bench_cache import bench_cache, replacing

KINDS = {
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
}


def requantized(path: Path, kind: str) -> Path:
    """A cached copy of ``path``, of one of KINDS. Raises SystemExit when llama.cpp cannot make it."""
    stat = path.stat()
    made = bench_cache() / f"{path.stem}-{stat.st_size}-{int(stat.st_mtime)}-{kind}.gguf"
    if not made.exists():
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype = KINDS[kind]
        parameters.allow_requantize = True
        with replacing(made) as draft:
            if llama_cpp.llama_model_quantize(str(path).encode(), str(draft).encode(), parameters):
                raise SystemExit(f"error: llama.cpp cannot make {kind} of {path}")
    return made
