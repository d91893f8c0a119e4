"""Masking: what is secret leaves this machine only as asterisks, as many as it had bytes.

Masks have the same length, so that an offset in the spool and in the app's log is the same number. A piece of the
log is masked by looking at what stands around it too: whichever way the log is cut, no part of a secret gets out.
"""

import base64
import itertools
import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

from ahocorasick_rs import BytesAhoCorasick, Implementation

SHORTEST = 6
"""Bytes. Anything shorter stands in a log by chance too often to be masked."""

ADD_MASK = b"::add-mask::"
"""At the beginning of a line, before a value: from there on it is masked.
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#masking-a-value-in-a-log"""

LONGEST_LINE = 1 << 16
"""Bytes of an `ADD_MASK` line that are waited for and taken; what follows on the line is not masked."""

LINE_ENDS = (b"\n", b"\r\n")
"""Between lines of base64: RFC 7468, 2 (PEM) and RFC 2045, 6.8 (MIME, which coreutils and Python follow)."""

FAST = 1 << 17
"""Bytes of patterns up to which the fastest automaton is built: it takes some 400 bytes of memory for each."""

LEFT_IN_URLS = ("", "/", "!'()*", "!$&'()*+,;=", "!$&'()*+,;=:", "$&+,;=")
"""What is not percent-encoded: by most; in paths; by encodeURIComponent of ECMAScript; for the user in an address by
ECMAScript, by RFC 3986, 3.2.1, and by net/url of Go."""

ESCAPED_IN_JSON = ("", "<>&", "<>&'", "<>&'=", "<>&'\"", "<>&'\"+`")
"""What is written as \\u and four digits although JSON does not ask for it: by most nothing; by encoding/json of Go; by
filters for HTML; by Gson; by PHP's JSON_HEX flags; by System.Text.Json of .NET."""

_STARS = bytes(byte if byte in b"\r\n" else ord("*") for byte in range(256))


def forms(value: str) -> set[bytes]:
    """How a secret may be written: as it is, line by line, without the blanks around it or as words of a shell, in
    base64 (whatever stands before it), in a URL, in JSON, by Python, quoted for or by a shell. Forms shorter than
    `SHORTEST` are left out."""
    raw = value.encode(errors="surrogateescape")
    lines = raw.splitlines()
    parts = {raw, *lines, *(line.strip() for line in lines)}
    written = parts | {raw.strip(), b" ".join(raw.split())}
    for part in parts:
        text = part.decode(errors="surrogateescape")
        written |= set(_base64(part))
        written |= set(_in_urls(part))
        written |= {_bytes(quoted) for quoted in (*_in_json(text), repr(text)[1:-1], *_in_shells(text))}
    return {form for form in written if len(form) >= SHORTEST}


def _base64(part: bytes) -> Iterator[bytes]:
    """The digits of it that do not depend on what stands before and behind: 3 bytes are 4 digits, RFC 4648, 4.

    What stands before decides where a line ends in them, too. So it is every few digits in a row, and those around a
    line end so near to the first or the last digit that fewer would be left on their line; one or two may be seen.
    """
    for before in range(3):
        digits = base64.b64encode(bytes(before) + part).rstrip(b"=")
        inner = digits[(before * 8 + 5) // 6 : (before + len(part)) * 8 // 6]
        for written in {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}:
            yield from (written[at : at + SHORTEST] for at in range(len(written) - SHORTEST + 1))
            yield from _broken(written)


def _broken(digits: bytes) -> Iterator[bytes]:
    near = range(3, SHORTEST)
    for at in {*near, *(len(digits) - rest for rest in near)}:
        if 1 < at < len(digits) and len(digits) >= SHORTEST:
            for line_end in LINE_ENDS:
                yield digits[max(0, at - SHORTEST) : at] + line_end + digits[at : at + SHORTEST]


def _in_urls(part: bytes) -> Iterator[bytes]:
    """Percent-encoded, RFC 3986, 2.1: hexadecimal digits are written both ways."""
    for quoted in (*(quote(part, safe=safe) for safe in LEFT_IN_URLS), quote_plus(part), quote_plus(part, safe="*")):
        yield quoted.encode()
        yield _lower_hex(quoted).encode()


def _lower_hex(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(one[:2].lower() + one[2:] for one in rest)])


def _in_json(text: str) -> Iterator[str]:
    """With slashes escaped or not, and hexadecimal digits in both ways."""
    for ascii_only, also in itertools.product((True, False), ESCAPED_IN_JSON):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for character in also:
            plain = '\\"' if character == '"' else character
            escaped = escaped.replace(plain, f"\\u{ord(character):04x}")
        upper = re.sub(r"\\(?:u....|.)", _upper_hex, escaped)
        for one in {escaped, upper}:
            yield from (one, one.replace("/", "\\/"))


def _upper_hex(escape: re.Match[str]) -> str:
    return escape[0][:2] + escape[0][2:].upper()


def _in_shells(text: str) -> Iterator[str]:
    """As they read it, and as they show it (`set -x`, `export -p`)."""
    yield shlex.quote(text)[1:-1]
    yield text.replace("'", "'\\''")
    yield re.sub(r'([\\"$`])', r"\\\1", text)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


class Masks:
    """The secrets of one deploy. More may be added while its log is on its way."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._patterns: set[bytes] = set()
        self._begun: set[bytes] = set()
        self._by_beginning: dict[bytes, list[bytes]] = {}
        self._automaton: BytesAhoCorasick | None = None
        self._beginnings: BytesAhoCorasick | None = None
        self.reach = 0
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Mask these from now on."""
        found = {form for value in values for form in forms(value)} - self._patterns
        if not found:
            return
        self._patterns |= found
        self._begun |= {pattern[:length] for pattern in found for length in range(1, SHORTEST)}
        for pattern in found:
            if len(pattern) > SHORTEST:
                self._by_beginning.setdefault(pattern[:SHORTEST], []).append(pattern)
        self._automaton = _automaton(self._patterns)
        self._beginnings = BytesAhoCorasick(sorted(self._by_beginning))  # small rather than fast: it sees little
        #: So many bytes before and behind a piece decide what of it is masked.
        self.reach = max(map(len, self._patterns)) - 1

    def text(self, text: str) -> str:
        """The same with every secret masked; for what is told beside the log."""
        raw = _bytes(text)
        return self.masked(raw, 0, len(raw)).decode(errors="replace")

    def masked(self, data: bytes, start: int, end: int) -> bytes:
        """``data[start:end]``, masked where a secret lies wholly in ``data``."""
        if self._automaton is None:
            return data[start:end]
        matches = self._automaton.find_matches_as_indexes(data, overlapping=True)
        if not matches:
            return data[start:end]
        result = bytearray(memoryview(data)[start:end])
        for begins, ends in _merged(matches):
            first, last = max(begins, start), min(ends, end)
            if first < last:
                result[first - start : last - start] = data[first:last].translate(_STARS)
        return bytes(result)

    def held_back(self, data: bytes) -> int:
        """How many bytes at the end of ``data`` may be the beginning of a secret."""
        if self._beginnings is None:
            return 0
        tail = data[-self.reach :]
        for _, begins, ends in self._beginnings.find_matches_as_indexes(tail, overlapping=True):
            rest = tail[begins:]
            candidates = self._by_beginning[tail[begins:ends]]
            if any(len(one) > len(rest) and one.startswith(rest) for one in candidates):
                return len(rest)
        short = range(min(SHORTEST - 1, len(tail)), 0, -1)
        return next((length for length in short if tail[-length:] in self._begun), 0)


def _automaton(patterns: Collection[bytes]) -> BytesAhoCorasick:
    fast = sum(map(len, patterns)) <= FAST
    return BytesAhoCorasick(sorted(patterns), implementation=Implementation.DFA if fast else None)


def _merged(matches: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """What matches cover, each byte once: they may overlap by thousands. They come ordered by their ends."""
    _, first, last = matches[-1]
    for _, begins, ends in reversed(matches):
        if ends < first:
            yield first, last
            first, last = begins, ends
        elif begins < first:
            first = begins
    yield first, last
