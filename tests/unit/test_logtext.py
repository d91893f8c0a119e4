"""Bytes of a log as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core.logtext import decoded, whole_lines

# Few kinds of bytes, so that cuts meet characters and line breaks often.
PIECE = st.sampled_from(
    [b"a", b"\n", b"\r", b"\r\n", "ä".encode(), "€".encode(), "🚢".encode(), b"\xff", b"\xe2", b"\x82"]
)
DATA = st.lists(PIECE, max_size=30).map(b"".join)


@given(DATA, st.lists(st.integers(1, 5), min_size=1))
def test_wherever_it_is_cut_the_text_is_the_same(data: bytes, sizes: list[int]) -> None:
    text, position, held, turn = "", 0, 0, 0
    while position < len(data):
        stop = min(position + held + sizes[turn % len(sizes)], len(data))
        turn += 1
        more, taken = decoded(data[position:stop], last=stop == len(data))
        text += more
        position += taken
        held = stop - position
        assert held <= 3
        assert bool(more) == bool(taken)
    assert (text, len(data)) == decoded(data, last=True)
    assert "\r" not in text


@pytest.mark.parametrize(
    ("data", "last", "text", "taken"),
    [
        (b"", False, "", 0),
        (b"a\r", False, "a", 1),
        (b"a\r", True, "a\n", 2),
        (b"\r", False, "", 0),
        (b"a\r\xe2", False, "a\n", 2),
        (b"a\xe2\x82", False, "a", 1),
        (b"a\xe2\x82", True, "a\ufffd", 3),
        (b"a\xff", False, "a\ufffd", 2),
    ],
)
def test_what_may_still_change_is_left(data: bytes, last: bool, text: str, taken: int) -> None:
    assert decoded(data, last=last) == (text, taken)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"cut\nwhole\n", b"whole\n"),
        (b"cut\n", b"cut\n"),
        (b"\x82\xacone line", b"one line"),
        (b"\x80\x80", b""),
        (b"", b""),
    ],
)
def test_what_was_cut_out_begins_with_something_whole(data: bytes, shown: bytes) -> None:
    assert whole_lines(data) == shown
