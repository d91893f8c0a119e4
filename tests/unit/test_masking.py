"""No secret leaves the machine: however it is written, wherever the log is cut, whenever it is read."""

import base64
import errno
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import durable, outgoing
from runner.journal import Entry
from runner.masking import SHORTEST, Masks, forms
from runner.outgoing import OutgoingLog, Stretch, asked, layout

BIG = 1 << 40


def ways(secret: str) -> list[bytes]:
    """A secret as programs write it."""
    raw = secret.encode()
    return [
        raw,
        base64.b64encode(raw),
        base64.b64encode(b"u:" + raw + b"@host"),
        base64.b64encode(b"x" + raw),
        base64.urlsafe_b64encode(raw),
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        shlex.quote(secret).encode(),
        secret.replace("'", "'\\''").encode(),  # set -x
        re.sub(r'([\\"$`])', r"\\\1", secret).encode(),  # export -p
        repr(secret)[1:-1].encode(),
        quote(secret, safe="!'()*").encode(),  # encodeURIComponent
    ]


def shown(secret: str, log: bytes) -> bool:
    """Is the secret in there, as it is or decoded?"""
    return any(way.strip(b"'=") in log for way in ways(secret) if len(way) >= SHORTEST)


@pytest.mark.parametrize(
    "secret", ["hunter2-hunter2", "p ä\"ss/wörd+?'x", "a\\b%c&d=e", "it's $HOME/(1)!", "ÿÿÿÿÿÿ>>??"]
)
def test_every_way_to_write_it_is_masked(secret: str) -> None:
    masks = Masks([secret])
    for way in ways(secret):
        text = b"before " + way + b" after"
        masked = masks.masked(text, 0, len(text))
        assert len(masked) == len(text)
        assert not shown(secret, masked), masked
        assert masked.startswith(b"before ") and masked.endswith(b" after")


def test_a_key_is_masked_line_by_line_and_keeps_its_lines() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
    masks = Masks([key])
    for text in ("only hkiG9w0BAQEFAASC here", key, key.replace("\n", "\r\n")):
        masked = masks.text(text)
        assert "hkiG9w0BAQEFAASC" not in masked and "MIIEvQIBADANBgkq" not in masked
        assert masked.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("secret", "written"),
    [
        ("p&ss<w0rd>tok", r"p\u0026ss\u003cw0rd\u003etok"),  # Go
        ("p&ss<w0rd>tok", r"p\u0026ss\u003Cw0rd\u003Etok"),  # PHP, .NET
        ("it's=a-secret", r"it\u0027s\u003da-secret"),  # Gson
        ('abc+def/ghi"x', r"abc\u002Bdef/ghi\u0022x"),  # .NET
        ("pässwörd", r"p\u00E4ssw\u00F6rd"),
        ("pässwörd", r"p\u00e4ssw\u00f6rd"),
        ("a<b/c\\d>", r"a\u003cb\/c\\d\u003e"),
        (r"slash\u00e4<", r"slash\\u00e4\u003C"),
        ("s3cret-value-1 ", "s3cret-value-1"),
        (" \ts3cret-value-1", "s3cret-value-1"),
        ("two  words \n", "two words"),
        ("ab\ncd\nef\n", "ab cd ef"),
        ("first-line\rsecond-line", "first-line"),
        ("key: |\n  s3cret-line  \n", "s3cret-line"),
    ],
)
def test_as_other_programs_write_it_is_masked_too(secret: str, written: str) -> None:
    assert Masks([secret]).text(f"({written})") == f"({'*' * len(written)})"


def test_what_is_too_short_is_no_form() -> None:
    assert forms("12345") <= {form for form in forms("12345") if len(form) >= SHORTEST}
    assert b"12345" not in forms("12345")
    assert Masks(["12345"]).text("12345") == "12345"


SECRETS = st.lists(st.text(st.sampled_from("abAB12+/=\n'\" %ä"), min_size=6, max_size=24), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_however_it_grows_and_is_read_the_log_is_the_masked_spool(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The spool grows in any pieces and is read in any others, by runners that die: what was sent is the whole
    masked at once, and contains no secret."""
    secrets = data.draw(SECRETS)
    parts = st.one_of(st.sampled_from([way for one in secrets for way in ways(one)]), st.binary(max_size=12))
    spool = b"".join(data.draw(st.lists(parts, max_size=12)))
    entry = Entry(tmp_path_factory.mktemp("entry"))
    log = OutgoingLog(entry, Masks(secrets), BIG)
    sent, written = b"", 0
    with entry.output.open("ab", buffering=0) as file:
        while written < len(spool):
            written += file.write(spool[written : written + data.draw(st.integers(1, 40))])
            if data.draw(st.booleans()):
                sent += log.read(len(sent), data.draw(st.integers(1, 60)))
            if data.draw(st.integers(0, 9)) == 0:
                log = OutgoingLog(entry, Masks(secrets), BIG)
    end = log.close()
    while len(sent) < end:
        piece = log.read(len(sent), data.draw(st.integers(1, 200)))
        assert piece
        sent += piece
    assert sent == Masks(secrets).masked(spool, 0, len(spool))
    for secret in secrets:
        assert secret.encode() not in sent


def spooled(tmp_path: Path, content: bytes, limit: int = BIG, *secrets: str) -> OutgoingLog:
    entry = Entry(tmp_path)
    entry.output.write_bytes(content)
    return OutgoingLog(entry, Masks(secrets), limit)


def everything(log: OutgoingLog, most: int = 1 << 20) -> bytes:
    end, sent = log.close(), b""
    while len(sent) < end:
        sent += log.read(len(sent), most)
    return sent


def test_a_mask_asked_for_holds_from_its_own_line_on(tmp_path: Path) -> None:
    log = spooled(tmp_path, b"s3cret-token\n::add-mask::s3cret-token\nnow s3cret-token\nx::add-mask::nothing\n")
    first = log.read(0, BIG)
    assert b"\nnow ************\n" in first and b"::add-mask::************\n" in first
    assert b"x::add-mask::nothing" in first
    again = OutgoingLog(Entry(tmp_path), Masks(), BIG)
    assert again.read(13, BIG) == first[13:]


def test_a_mask_that_is_being_asked_for_is_waited_for(tmp_path: Path) -> None:
    log = spooled(tmp_path, b"before\n::add-ma")
    assert log.read(0, BIG) == b"before\n"
    with log_file(tmp_path) as file:
        file.write(b"sk::s3cret-to")
    assert log.read(7, BIG) == b""
    with log_file(tmp_path) as file:
        file.write(b"ken\ns3cret-token")
    assert log.read(7, BIG) == b"::add-mask::************\n************"


def log_file(folder: Path):  # type: ignore[no-untyped-def]
    return (folder / "output").open("ab")


def test_a_value_too_short_to_be_masked_is_counted(tmp_path: Path) -> None:
    log = spooled(tmp_path, b"::add-mask::abc\nabc\n")
    assert everything(log) == b"::add-mask::abc\nabc\n"
    assert log.too_short == 1


def test_line_ends_in_a_value_are_written_percent_encoded(tmp_path: Path) -> None:
    log = spooled(tmp_path, b"::add-mask::first-line%0Asecond-line\nsecond-line 100%\n")
    assert everything(log).endswith(b"*********** 100%\n")


@pytest.mark.parametrize(
    ("data", "begins", "enough", "found", "waiting"),
    [
        (b"::add-mask::a\n", True, False, [(0, b"a")], None),
        (b"::add-mask::a\n", False, False, [], None),
        (b"x\n::add-mask::a", False, False, [], 2),
        (b"x\n::add-mask::a", False, True, [(2, b"a")], None),
        (b"x\n::", True, False, [], 2),
        (b"::", True, False, [], 0),
        (b"::", False, False, [], None),
        (b"x\n::", True, True, [], None),
        (b"::add-mask::a\n::add-mask::b\n", True, False, [(0, b"a"), (14, b"b")], None),
    ],
)
def test_lines_that_ask_for_a_mask(
    data: bytes, begins: bool, enough: bool, found: list[tuple[int, bytes]], waiting: int | None
) -> None:
    assert asked(data, line_begins=begins, enough=enough) == (found, waiting)


def test_what_of_a_spool_is_the_log() -> None:
    assert layout(10, 4, closed=False) == (Stretch(0, 4),)
    assert layout(10, 8, closed=False) == (Stretch(0, 5),)
    assert layout(10, 10, closed=True) == (Stretch(0, 10),)
    head, mark = layout(10, 11, closed=False)
    assert head == Stretch(0, 5) and b"log_limit (10 bytes)" in mark.text
    closed = layout(10, 100, closed=True)
    assert closed[:2] == (head, mark)
    assert b"90 bytes" in closed[2].text and closed[3] == Stretch(95, 100)


@pytest.mark.parametrize("most", [7, 1 << 20])
def test_head_and_tail_are_kept_and_the_gap_is_marked(tmp_path: Path, most: int) -> None:
    content = b"".join(b"line %d\n" % number for number in range(10_000))
    log = spooled(tmp_path, content, 1000)
    live = log.read(0, 1 << 20) + log.read(500, 1 << 20)
    sent = everything(log, most)
    assert sent.startswith(live) and live.startswith(content[:500])
    assert sent.endswith(b"%d bytes are left out here]\n" % (len(content) - 1000) + content[-500:])
    again = OutgoingLog(Entry(tmp_path), Masks(), 1000)
    with log_file(tmp_path) as file:
        file.write(b"a later run adds this")
    assert (again.closed, again.end) == (True, len(sent))
    assert everything(again) == sent


def test_secrets_at_the_cuts_and_masks_asked_for_in_the_gap(tmp_path: Path) -> None:
    content = (
        b"x" * 496
        + b"s3cret-token"
        + b"\n::add-mask::other-token\n"
        + b"y" * 2000
        + b"s3cret-token, other-token"
        + b"z" * 481
    )
    sent = everything(spooled(tmp_path, content, 1000, "s3cret-token"), 13)
    assert b"x****\n" in sent and b"cret" not in sent and b"other" not in sent and b"oken" not in sent


def test_what_is_delivered_or_left_out_is_given_back(tmp_path: Path) -> None:
    mib = 1 << 20
    entry = Entry(tmp_path)
    entry.output.write_bytes(b"x" * 100 * mib)
    used = entry.output.stat().st_blocks
    log = OutgoingLog(entry, Masks(), 40 * mib)
    for _ in range(4):
        log.tend(0)
    undelivered = entry.output.stat().st_blocks
    if undelivered == used:
        pytest.skip("the file system of the temporary folder gives nothing back (no FALLOC_FL_PUNCH_HOLE)")
    assert undelivered * 512 < 46 * mib
    log.tend(20 * mib)
    assert entry.output.stat().st_blocks * 512 < 27 * mib
    again = OutgoingLog(entry, Masks(), 40 * mib)
    assert 18 * mib <= again.given_back <= 20 * mib
    assert again.read(again.given_back, 100) == b"x" * 100
    assert b"given back" in again.read(0, 100)
    again.close()
    assert b"x" * 100 in [again.read(again.end - 20 * mib, 100) for _ in range(4)]


@pytest.mark.parametrize("encode", [base64.encodebytes, lambda raw: b"\n".join(re.findall(b".{1,64}", b64(raw)))])
def test_base64_of_a_long_one_goes_over_several_lines(encode: Callable[[bytes], bytes]) -> None:
    secret = "".join(f"{number:03}-part/" for number in range(40))
    masked = Masks([secret]).text(encode(secret.encode()).decode())
    assert max(map(len, masked.replace("*", " ").split()), default=0) < SHORTEST
    assert masked.count("*") > 4 * len(secret) / 3 - SHORTEST


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_of_base64_in_lines_nothing_is_left_wherever_it_begins(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """But one or two digits next to a line end. What stands before and behind is shown."""
    digit = st.sampled_from("abcXYZ0189+/-_.")
    secret = data.draw(st.text(digit, min_size=6, max_size=20)) + data.draw(st.text(digit, max_size=200))
    before, behind = (data.draw(st.integers(0, most)) * b"\xff" for most in (120, 9))
    line_end = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    encoded = b64(before + secret.encode() + behind)
    wide = data.draw(st.sampled_from([64, 76]))
    spool = line_end.join(encoded[at : at + wide] for at in range(0, len(encoded), wide))
    entry = Entry(tmp_path_factory.mktemp("entry"))
    entry.output.write_bytes(spool)
    sent = everything(OutgoingLog(entry, Masks([secret]), BIG), data.draw(st.integers(1, 300)))
    assert len(sent) == len(spool)
    first, last = -(-len(before) * 8 // 6), (len(before) + len(secret)) * 8 // 6
    begins, ends = (at + at // wide * len(line_end) for at in (first, last))
    left = re.split(rb"\r?\n", sent[begins:ends])
    assert all(len(line.strip(b"*")) <= 2 for line in left), left
    assert sum(len(line.strip(b"*")) for line in left) <= 4
    assert sent[: max(0, begins - 1)] == spool[: max(0, begins - 1)] and sent[ends + 1 :] == spool[ends + 1 :]


def test_what_matches_everywhere_costs_no_more_than_what_it_covers() -> None:
    """Nobody else of this runner goes on meanwhile."""
    translated: list[int] = []

    class Counted(bytes):
        def __getitem__(self, key: slice) -> bytes:  # type: ignore[override]
            translated.append(len(range(*key.indices(len(self)))))
            return super().__getitem__(key)

    data = Counted(b"-" * 20_000 + b"plain" + b"-" * 20_000)
    assert Masks(["-" * 2000]).masked(data, 10, 40_000) == b"*" * 19_990 + b"plain" + b"*" * 19_995
    assert sum(translated) < 3 * len(data)


@given(st.data())
def test_every_byte_of_every_match_is_masked(data: st.DataObject) -> None:
    """Whichever way the secrets overlap."""
    secrets = data.draw(st.lists(st.text("ab", min_size=6, max_size=9), min_size=1, max_size=3))
    text = data.draw(st.text("ab-", max_size=60)).encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    hidden = {
        at + n
        for one in secrets
        for at in range(len(text))
        if text.startswith(one.encode(), at)
        for n in range(len(one))
    }
    expected = bytes(ord("*") if at in hidden else text[at] for at in range(start, end))
    assert Masks(secrets).masked(text, start, end) == expected


def b64(raw: bytes) -> bytes:
    return base64.b64encode(raw)


def test_a_long_secret_costs_little_at_the_end_of_a_log() -> None:
    """A waiting log is looked at twenty times a second."""
    secret = "".join(map(str, range(13_000)))
    masks = Masks([secret, "tail-end"])
    assert masks.held_back(secret[:-1].encode()) == len(secret) - 1
    assert masks.held_back(b"x" + secret[:7].encode()) == 7
    assert [masks.held_back(b"." * 100_000 + end) for end in (b"", b"tail-en", b"tai")] == [0, 7, 3]
    assert [masks.held_back(end) for end in (b"", b"t", b"tai", b"tail-en")] == [0, 1, 3, 7]


def test_a_value_with_percent_signs_is_masked_as_it_is_written_too(tmp_path: Path) -> None:
    log = spooled(tmp_path, b"::add-mask::a%25bcdef%2Fx\na%25bcdef%2Fx a%bcdef%2Fx\n")
    assert everything(log) == b"::add-mask::*************\n************* ***********\n"


def test_masks_asked_for_by_thousands_are_put_in_force_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    values = [f"secret-{number:05}" for number in range(3000)]
    log = spooled(tmp_path, "".join(f"::add-mask::{value}\n" for value in values).encode() + b"secret-02999\n")
    assert log.read(0, BIG).endswith(b"::add-mask::************\n************\n")
    assert len(synced) == 1
    assert OutgoingLog(Entry(tmp_path), Masks(), BIG).masks.text("secret-00001") == "*" * 12


def test_a_full_disk_ends_no_log_and_forgets_no_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mib = 1 << 20
    log = spooled(tmp_path, b"::add-mask::s3cret-token\n" + b"x" * 8 * mib + b"s3cret-token\n")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as disk:
        disk.setattr(durable, "create", full)
        disk.setattr(outgoing, "_remember", full)
        sent = everything(log)
        assert sent.endswith(b"x************\n") and log.closed
        log.tend(len(sent))
        assert log.given_back == 0  # a next run has to see the line that asks
    log.tend(len(sent))
    assert OutgoingLog(Entry(tmp_path), Masks(), BIG).masks.text("s3cret-token") == "*" * 12


def test_what_was_left_out_is_looked_at_in_steps_also_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command may be far ahead when it ends: nobody else shall wait while gigabytes are looked at."""
    monkeypatch.setattr(outgoing, "STEP", 100)
    monkeypatch.setattr(outgoing, "STEPS_AT_ONCE", 3)
    log = spooled(tmp_path, b"x" * 2000 + b"\n::add-mask::s3cret-token\n" + b"y" * 2000 + b"s3cret-token", 1000)
    end = log.close()
    pieces = [log.read(end - 20, 100) for _ in range(20)]
    assert pieces[0] == b"" and pieces[-1] == b"y" * 8 + b"*" * 12
