"""What is expected of a load: by earlier loads of the model, else by its size."""

from __future__ import annotations

from pathlib import Path

import pytest

from peernode.engine.load_times import START_S, USUAL_RATE, LoadTimes

GB = 10**9
MODEL, OTHER = Path("/models/a.gguf"), Path("/models/b.gguf")


def test_before_anything_was_loaded_size_decides() -> None:
    assert LoadTimes().expected_s(MODEL, GB) == pytest.approx(START_S + GB / USUAL_RATE)


def test_a_model_is_expected_to_take_as_long_as_it_took(tmp_path: Path) -> None:
    times = LoadTimes(tmp_path / "times.json")
    times.took(MODEL, GB, 20.0)
    assert times.expected_s(MODEL, GB) == 20.0
    times.took(MODEL, GB, 10.0)
    assert times.expected_s(MODEL, GB) == 15.0
    again = LoadTimes(tmp_path / "times.json")  # a restart
    assert again.expected_s(MODEL, GB) == 15.0
    assert again.expected_s(OTHER, GB) == times.expected_s(OTHER, GB)


def test_what_was_measured_of_one_tells_of_others_by_their_size() -> None:
    times, before = LoadTimes(), LoadTimes().expected_s(OTHER, GB)
    times.took(MODEL, GB, START_S + 100.0)  # ten megabytes a second
    assert before < times.expected_s(OTHER, GB) < START_S + 100.0
    for _ in range(20):
        times.took(MODEL, GB, START_S + 100.0)
    assert times.expected_s(OTHER, GB // 2) == pytest.approx(START_S + 50.0, rel=0.01)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "rate": 0, "models": {}}', "[" * 100_000])
def test_a_damaged_file_costs_a_guess_and_nothing_else(tmp_path: Path, content: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(content)
    times = LoadTimes(path)
    assert times.expected_s(MODEL, GB) == pytest.approx(START_S + GB / USUAL_RATE)
    times.took(MODEL, GB, 20.0)
    assert LoadTimes(path).expected_s(MODEL, GB) == 20.0


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    times = LoadTimes(tmp_path / "missing" / "times.json")
    times.took(MODEL, GB, 20.0)
    assert times.expected_s(MODEL, GB) == 20.0
