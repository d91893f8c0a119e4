"""Bytes of a log as text that people read: UTF-8 that may be cut anywhere, with any kind of line break."""

import codecs
import re

_BREAK = re.compile(r"\r\n?")


def decoded(data: bytes, *, last: bool) -> tuple[str, int]:
    """The text, and how many of the bytes it stands for.

    A character that is not complete yet, or a CR whose LF may follow, is left for the next time unless this is
    the ``last`` of the log. Bytes that are no UTF-8 become U+FFFD; CR LF and CR become LF.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, last)
    held = len(decoder.getstate()[0])
    if not last and not held and text.endswith("\r"):
        text, held = text[:-1], 1
    return _BREAK.sub("\n", text), len(data) - held


def whole_lines(data: bytes) -> bytes:
    """What was cut out of the middle, from its first whole line on; from its first whole character if it has one
    line only."""
    _, found, rest = data.partition(b"\n")
    return rest if found and rest else data.lstrip(bytes(range(0x80, 0xC0)))
