"""Which lines of a comment in Markdown are commands: those that begin with a slash and a word Kedge listens to.

A line counts where its author wrote it himself: not in a quote, not in code (fenced or indented), not in raw HTML that
shows text as it stands, not in an HTML comment, as templates of pull requests have them. Block structure is that of
https://spec.commonmark.org/0.31.2/, except that an unquoted line below a quote is its author's.
"""

import re
from collections.abc import Iterator

from ghapp.core.chat import nearest_verb

#: Only these end a line in Markdown.
_LINE_END = re.compile(r"\r\n|\n|\r")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")
_RAW = re.compile(r" {0,3}<(pre|script|style|textarea)(?=[\s>]|$)", re.IGNORECASE)
_COMMAND = re.compile(r" {0,3}/([^\W\d_]+!?)(?=\s|$)")


def commands(body: str) -> list[str]:
    """The lines that are commands, without their slash, in order. What stands after a slash and is nothing like a verb
    of Kedge's is somebody else's command."""
    found = []
    for line in _own_lines(_LINE_END.split(body)):
        match = _COMMAND.match(line)
        if match and nearest_verb(match[1]):
            found.append(line.strip()[1:])
    return found


def _own_lines(lines: list[str]) -> Iterator[str]:
    """The lines outside of code, raw HTML and HTML comments. What is not closed goes on to the end."""
    end: re.Pattern[str] | None = None
    for line in lines:
        if end is None:
            end, own, inside = _opens(line)
            if own:
                yield own
            if end is not None and end.search(inside):
                end = None
        elif end.search(line):
            end = None


def _opens(line: str) -> tuple[re.Pattern[str] | None, str, str]:
    """What ends the block that the line opens, what stands before it, and after it, where it may end already."""
    if fence := _FENCE.match(line):
        mark = fence[1]
        return re.compile(rf"^ {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$"), "", ""
    if raw := _RAW.match(line):
        return re.compile(rf"</{raw[1]}>", re.IGNORECASE), "", line[raw.end() :]
    before, opened, rest = line.rpartition("<!--")
    if opened and "-->" not in rest and before.count("`") % 2 == 0:
        return re.compile("-->"), before, ""
    return None, line, ""
