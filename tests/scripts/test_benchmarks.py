"""Benchmarks: every one of them starts, and what they share counts rightly."""

import runpy
import statistics
import sys
from pathlib import Path

import gguf
import pytest
from bench_report import Samples, percentile
from load import Answer, LoadFailed, parse_answer
from long_context import with_context
from prompts import edit_prompt, filler

from tests.models import write_tiny_model

BENCHMARKS = sorted((Path(__file__).parents[2] / "scripts" / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmark_explains_itself(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "--rounds" in said or "--quick" in said


def test_answer_is_read_however_it_was_cut():
    stream = (
        b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n'
        b'data: {"choices": [{"delta": {"content": "One "}}]}\r\n\r\n: still there\n\n'
        b'data: {"choices": [{"delta": {"content": "tw\xc3\xb6"}}], "usage": null}\n\n'
        b'data: {"choices": [], "usage": {"completion_tokens": 3, "prompt_tokens": 9, '
        b'"prompt_tokens_details": {"cached_tokens": 4}}}\n\ndata: [DONE]\n\n'
    )
    for cut in range(1, len(stream)):
        answer = parse_answer(10.0, [(11.0, stream[:cut]), (12.0, stream[cut:])])
        assert answer.text == "One twö"
        assert (answer.completion_tokens, answer.computed_tokens) == (3, 5)
        assert [*answer.stamps] in ([11.0, 11.0], [11.0, 12.0], [12.0, 12.0])


def test_pieces_are_counted_where_a_server_reports_no_usage():
    piece = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    answer = parse_answer(0.0, [(1.0, piece), (2.5, piece)])
    assert (answer.completion_tokens, answer.first_s) == (2, 1.0)


def test_error_event_is_no_answer():
    with pytest.raises(LoadFailed, match="no room"):
        parse_answer(0.0, [(1.0, b'data: {"error": {"message": "no room"}}\n\n')])


def test_ratios_are_taken_round_by_round():
    samples = Samples()
    # The machine halves its speed in the middle; the ratio must not notice.
    for ours, theirs in ((100, 50), (90, 45), (50, 25)):
        samples.add("ours", "8", ours)
        samples.add("theirs", "8", theirs)
    assert samples.ratios("8", "ours", "theirs") == [2.0, 2.0, 2.0]
    assert samples.cell("ours", "8", 0) == "90 (50…100)"
    assert samples.ratio_cell("8", "ours", "nobody") == "–"


def test_a_gap_counts_that_reaches_beyond_the_time_looked_at(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    gaps = runpy.run_path(str(BENCHMARKS[0].with_name("latency.py")))["gaps"]
    answer = Answer(0.0, stamps=[1.0, 2.0, 2.5, 9.0, 9.5])
    assert gaps(answer, 2.2, 8.0) == [0.5, 6.5]
    assert gaps(answer, 3.0, 4.0) == [6.5]
    assert gaps(answer, 10.0, 11.0) == []


@pytest.mark.parametrize("count", [1, 7, 100, 101])
def test_percentile_is_a_value_that_so_many_do_not_exceed(count):
    values = [float(value) for value in range(1, count + 1)]
    for share in (0.5, 0.99, 1.0):
        found = percentile(reversed(values), share)
        assert sum(value <= found for value in values) >= share * count
        assert sum(value < found for value in values) < share * count
    assert percentile(values, 0.5) == statistics.median_low(values)


def test_prompts_share_no_beginning():
    assert filler("a", 50).split()[0] != filler("b", 50).split()[0]
    assert filler("a", 50) == filler("a", 50)
    assert len(filler("a", 50).split()) == 51
    assert "class Inventory7:" in edit_prompt("7")


def test_longer_context_is_written_into_a_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = write_tiny_model(tmp_path / "tiny.gguf", context=256)
    before = model.read_bytes()
    assert with_context(model, 256) == model
    longer = with_context(model, 4096)
    assert longer == with_context(model, 4096)
    assert model.read_bytes() == before
    assert gguf.GGUFReader(longer).fields["llama.context_length"].contents() == 4096
