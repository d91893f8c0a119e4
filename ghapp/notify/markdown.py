"""Texts of others in GitHub's Markdown: shown as they are, and never a mention, a reference, a tag or a command. Pure.

https://github.github.com/gfm/. Mentions and references are found in the text after Markdown was rendered, so that no
escape of Markdown stops them; an invisible character does.
"""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&$])")
_TRIGGER = re.compile(r"([@#])(?=\w)|(?<=\w)([@#])")
_GH = re.compile(r"\b(gh)(?=-\d)", re.IGNORECASE)
#: https://www.unicode.org/charts/PDF/U2000.pdf: zero width space.
_INVISIBLE = "\u200b"
_NO_URL = re.compile(r"[\x00-\x20\x7f<>\\]")


def text(value: str) -> str:
    """Prose of somebody else's, on one line."""
    line = " ".join(value.split())
    line = _TRIGGER.sub(lambda match: f"{match[0]}{_INVISIBLE}", line)
    return _SPECIAL.sub(r"\\\1", _GH.sub(rf"\1{_INVISIBLE}", line))


def code(value: str) -> str:
    """Something to be read or copied letter by letter. Nothing in a code span means anything."""
    line = " ".join(value.split())
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}" if line else ""


def link(shown: str, url: str | None) -> str:
    """``shown`` is Markdown already. Without a usable URL it is no link."""
    if url is None or not url.lower().startswith(("https://", "http://")):
        return shown
    return f"[{shown}](<{_NO_URL.sub(lambda match: f'%{ord(match[0]):02X}', url)}>)"
