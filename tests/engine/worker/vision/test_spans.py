"""Cells and positions of prompts with pictures, for ordinary models and for those with M-RoPE."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.message import Image, Message
from peernode.engine.worker.vision.prompt import Placeholders, assemble
from peernode.engine.worker.vision.spans import TEXT_ONLY, ImageRun, Layout, placeholder_ids


def run(cells: int, n_pos: int | None = None, key: bytes = b"red", *, causal: bool = True) -> ImageRun:
    """With ``n_pos`` an M-RoPE picture of so many columns."""
    grid = None
    if n_pos is not None:
        at = np.arange(cells, dtype=np.int32)
        grid = np.stack([np.zeros(cells, np.int32), at // n_pos, at % n_pos, np.zeros(cells, np.int32)])
    ids = placeholder_ids(key, cells)
    return ImageRun(np.zeros((cells, 4), np.float32), ids, cells if n_pos is None else n_pos, causal, grid)


def test_text_alone_has_one_position_for_each_cell():
    assert [TEXT_ONLY.position(cell) for cell in (0, 7, 4000)] == [0, 7, 4000]
    assert TEXT_ONLY.at(3) is None
    assert TEXT_ONLY.next_start(0) is None
    assert TEXT_ONLY.whole(9) == 9


def test_an_ordinary_picture_has_a_position_for_each_cell():
    layout = Layout([(5, run(16))])
    assert [layout.position(cell) for cell in (4, 5, 20, 21)] == [4, 5, 20, 21]
    span = layout.at(8)
    assert span is not None
    assert span.positions(8, 3).tolist() == [8, 9, 10]


def test_text_after_an_mrope_picture_goes_on_after_its_longer_side():
    layout = Layout([(5, run(28, 7)), (40, run(6, 3))])
    assert [layout.position(cell) for cell in (4, 5, 20, 32, 33, 40, 45)] == [4, 5, 5, 5, 12, 19, 19]
    assert layout.position(46) == 22
    assert layout.position(50) == 26


def test_mrope_positions_are_sorted_by_section_and_z_stays():
    span = Layout([(5, run(6, 3))]).at(5)
    assert span is not None
    assert span.positions(5, 6).tolist() == [5] * 6 + [5, 5, 5, 6, 6, 6] + [5, 6, 7, 5, 6, 7] + [0] * 6
    assert span.positions(8, 2).tolist() == [5, 5, 6, 6, 5, 6, 0, 0]


def test_only_whole_pictures_are_shared():
    layout = Layout([(5, run(16)), (30, run(4))])
    assert [layout.whole(cells) for cells in (4, 5, 6, 20, 21, 30, 33, 34, 99)] == [4, 5, 5, 5, 21, 30, 30, 34, 99]
    assert [layout.next_start(cell) for cell in (0, 5, 29, 30)] == [5, 30, 30, None]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30), st.integers(0, 9)), max_size=6))
def test_positions_never_go_back_and_count_every_text_token(pieces):
    runs, at = [], 0
    for text, cells, n_pos in pieces:
        runs.append((at + text, run(cells, min(n_pos, cells) or None)))
        at += text + cells
    layout = Layout(runs)
    positions = [layout.position(cell) for cell in range(at + 5)]
    assert positions == sorted(positions)
    assert positions[-1] == at + 4 - sum(piece.cells - piece.n_pos for _, piece in runs)
    assert all(span.position == layout.position(span.start) for span in layout.spans)


def test_ids_are_negative_and_differ_between_pictures():
    red, blue = placeholder_ids(b"red", 64), placeholder_ids(b"blue", 64)
    assert red.dtype == np.int32
    assert (red < 0).all()
    assert not (red == blue).any()
    assert (placeholder_ids(b"red", 64) == red).all()


def test_a_template_s_text_is_split_where_the_pictures_stand():
    marks = Placeholders()
    text = f"<user>{marks.mark(0)} and {marks.mark(1)}?<end>"
    assert marks.split(text, 2) == (["<user>", " and ", "?<end>"], [0, 1])
    assert marks.split(f"{marks.mark(1)}{marks.mark(0)}", 2) == (["", "", ""], [1, 0])


def test_images_are_placed_in_words_and_numbered_through_all_messages():
    marks = Placeholders()
    place = marks.placing(str.upper)
    first = Message("user", "see this", images=(Image(4, b"x"), Image(8, b"y")))
    second = Message("user", "and", images=(Image(0, b"z"),))
    text = "".join(map(place, [first, Message("assistant", "yes"), second]))
    assert marks.split(text, 3) == (["SEE ", "THIS", "YES", "AND"], [0, 1, 2])


def test_a_template_that_loses_or_doubles_a_picture_is_noticed():
    marks = Placeholders()
    assert marks.split("nothing", 1) is None
    assert marks.split(marks.mark(0) * 2, 1) is None
    assert marks.split("nothing", 0) == (["nothing"], [])


def test_nobody_else_can_write_a_placeholder():
    assert Placeholders().split(Placeholders().mark(0), 1) is None


def test_a_prompt_is_assembled_of_texts_markers_and_runs():
    texts = [np.array([1, 2], np.int32), np.array([3], np.int32), np.array([4, 5], np.int32)]
    marker = np.array([9], np.int32)
    cells, layout = assemble(texts, [(marker, run(4, 2), marker), (run(3, key=b"blue"),)])
    assert cells[cells > 0].tolist() == [1, 2, 9, 9, 3, 4, 5]
    assert [(span.start, span.end, span.position) for span in layout.spans] == [(3, 7, 3), (9, 12, 7)]
    assert (cells[3:7] == placeholder_ids(b"red", 4)).all()
    assert layout.position(len(cells)) == 12
