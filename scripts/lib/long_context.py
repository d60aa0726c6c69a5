"""The same model with a longer context: a copy of the GGUF whose ``context_length`` says so.

Beyond what it was trained for it talks nonsense, at the same speed, and speed is all that is measured with it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
from bench_cache import bench_cache, replacing


def with_context(path: Path, tokens: int) -> Path:
    """``path`` itself if its context is long enough, else a cached copy."""
    if _context_length(gguf.GGUFReader(path))[0] >= tokens:
        return path
    stat = path.stat()
    longer = bench_cache() / f"{path.stem}-{stat.st_size}-{int(stat.st_mtime)}-context-{tokens}.gguf"
    if not longer.exists():
        with replacing(longer) as draft:
            shutil.copyfile(path, draft)
            reader = gguf.GGUFReader(draft, "r+")
            _context_length(reader)[0] = tokens
            reader.data.flush()
    return longer


def _context_length(reader: gguf.GGUFReader):
    """The array of one number that stands in the file."""
    architecture = reader.fields["general.architecture"].contents()
    field = reader.fields[f"{architecture}.context_length"]
    return field.parts[field.data[0]]
