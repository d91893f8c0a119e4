"""What others wrote, shown on GitHub: as it is, calling nobody, nothing but text. Read by a Markdown parser."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ghapp.notify.markdown import code, link, text

PARSER = MarkdownIt("gfm-like", {"linkify": False})
INVISIBLE = "\u200b"
HOSTILE = st.text(st.sampled_from("ab1 `*_[]()<>!#@&;|~$\\\n\"'-/:.") | st.characters(codec="utf-8"), max_size=40)


def shown(markdown: str) -> tuple[set[str], str]:
    """Which kinds of inline elements it has, and the text in them."""
    kinds, words = set(), []
    for block in PARSER.parse(f"x {markdown} x"):
        kinds.add(block.type)
        for child in block.children or ():
            kinds.add(child.type)
            words.append(child.content)
    return kinds, "".join(words)


def plain(value: str) -> str:
    return " ".join(value.replace("\x00", "\ufffd").split())


@given(HOSTILE)
@example("![x](http://evil) <b>bold</b> **b** ~~s~~ `c` \\* &amp; | a")
@example("@acme/ops and #12, acme/hello#12, gh-12")
def test_prose_is_nothing_but_text(value: str) -> None:
    kinds, words = shown(text(value))
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    assert words.replace(INVISIBLE, "").split() == ["x", *plain(value).replace(INVISIBLE, "").split(), "x"]


@given(HOSTILE)
@example("``")
@example("`a` ``b``")
@example("@team")
def test_code_is_one_code_span(value: str) -> None:
    if not plain(value):
        assert code(value) == ""
        return
    kinds, words = shown(code(value))
    assert "code_inline" in kinds
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "code_inline"}
    assert plain(value) in words


@pytest.mark.parametrize("value", ["@ana", "hi @acme/ops", "(@ana)", "#12", "acme/hello#12", "hello#12", "GH-12"])
def test_nobody_is_called_and_nothing_referred_to(value: str) -> None:
    """GitHub looks for them in the text, where an escape of Markdown is gone."""
    _, words = shown(text(value))
    assert value not in words
    assert words.replace(INVISIBLE, "") == f"x {value} x"


@pytest.mark.parametrize("url", [None, "", "javascript:alert(1)", "data:text/html,x", "//evil"])
def test_what_is_no_web_address_is_no_link(url: str | None) -> None:
    assert link("Log", url) == "Log"


@given(HOSTILE)
def test_a_link_is_one_link(path: str) -> None:
    kinds, words = shown(link(text("Log"), f"https://kedge.example/{path}"))
    assert "link_open" in kinds
    assert words == "x Log x"
