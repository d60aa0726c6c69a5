"""A model's digest: right for one file and for several, computed once, and never believed of another state."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from peernode.engine import DigestCache, ModelLoadFailed
from peernode.engine.digest_cache import FileStamp
from peernode.engine.model_file import ModelFile
from tests.engine.test_gguf_header import split
from tests.models import write_tiny_model


async def digest(path: Path, cache: DigestCache | None = None) -> tuple[bytes, list[float]]:
    """And the progress that was made on the way; none means that nothing was hashed."""
    file, progress = ModelFile(path, cache), []
    await file.inspect()
    found, size = await file.digest(progress.append)
    assert size >= path.stat().st_size
    return found, progress


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


async def test_the_digest_is_the_files_sha256(tiny: Path) -> None:
    assert (await digest(tiny))[0] == hashlib.sha256(tiny.read_bytes()).digest()


async def test_a_split_models_digest_is_over_all_its_parts(tmp_path: Path) -> None:
    parts = split(tmp_path)
    found, progress = await digest(parts[0], DigestCache(tmp_path / "cache.json"))
    assert found == hashlib.sha256(b"".join(part.read_bytes() for part in parts)).digest()
    assert progress[-1] == 1.0
    assert (await digest(parts[0], DigestCache(tmp_path / "cache.json"))) == (found, [])
    os.utime(parts[2])
    assert (await digest(parts[0], DigestCache(tmp_path / "cache.json")))[1]


async def test_a_second_start_hashes_nothing(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    first, progress = await digest(tiny, DigestCache(path))
    assert progress == [0.0, 1.0]
    assert path.stat().st_mode & 0o777 == 0o600
    assert await digest(tiny, DigestCache(path)) == (first, [])


async def test_another_file_of_the_same_size_and_time_is_hashed(tiny: Path, tmp_path: Path) -> None:
    cache = DigestCache(tmp_path / "cache.json")
    first, _ = await digest(tiny, cache)
    times = tiny.stat()
    data = bytearray(tiny.read_bytes())
    data[-1] ^= 1
    tiny.write_bytes(bytes(data))
    os.utime(tiny, ns=(times.st_atime_ns, times.st_mtime_ns))
    second, progress = await digest(tiny, cache)
    assert progress
    assert second != first


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff\xfe", b"[]", b'{"format": 2, "models": {}}', b'{"format": 1, "models": 3}', b"[" * 100_000, None],
)
async def test_a_damaged_cache_is_no_cache(tiny: Path, tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "cache.json"
    first, _ = await digest(tiny, DigestCache(path))
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    assert await digest(tiny, DigestCache(path)) == (first, [0.0, 1.0])
    assert await digest(tiny, DigestCache(path)) == (first, [])


@pytest.mark.parametrize("digest_text", ["", "zz", "00" * 31, None, 5])
def test_a_damaged_entry_is_no_entry(tiny: Path, tmp_path: Path, digest_text: object) -> None:
    cache, stamps = DigestCache(tmp_path / "cache.json"), [FileStamp.of(tiny)]
    cache.keep(tiny, stamps, bytes(32))
    assert cache.find(tiny, stamps) == bytes(32)
    found = json.loads((tmp_path / "cache.json").read_text())
    found["models"][str(tiny)]["sha256"] = digest_text
    (tmp_path / "cache.json").write_text(json.dumps(found))
    assert cache.find(tiny, stamps) is None


async def test_a_cache_that_cannot_be_written_costs_only_time(tiny: Path, tmp_path: Path) -> None:
    assert (await digest(tiny, DigestCache(tmp_path / "nowhere" / "cache.json")))[1]


def test_the_cache_stays_small(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peernode.engine.digest_cache._MOST_MODELS", 2)
    cache, stamps = DigestCache(tmp_path / "cache.json"), [FileStamp.of(tiny)]
    for name in "abc":
        cache.keep(tmp_path / name, stamps, bytes(32))
    assert [cache.find(tmp_path / name, stamps) is not None for name in "abc"] == [False, True, True]


async def test_a_file_that_changes_after_its_inspection_is_refused(tiny: Path) -> None:
    file = ModelFile(tiny)
    await file.inspect()
    tiny.write_bytes(tiny.read_bytes() + b"x")
    with pytest.raises(ModelLoadFailed, match="changed"):
        await file.digest()
