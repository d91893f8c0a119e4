"""Plain git against real remotes: what it says of commits and branches, and what is not taken for a name."""

import asyncio
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from ghapp.core.remote import NotFound, Refused, RemoteError, Unauthorized, Unavailable
from ghapp.vcs.git_mirror import MANY_PACKS
from tests.e2e.people import until
from tests.integration.git.remotes import Remote
from tests.integration.workspace.repositories import processes_about


async def test_refs_and_shas_of_every_kind(any_remote: Remote) -> None:
    repo, code = any_remote.repo, await any_remote.code()
    first = repo.commit({"a": "1"}, "First, ü\n\nAnd more.")
    repo.git("tag", "light")
    repo.git("tag", "-a", "v1", "-m", "one")
    second = repo.commit({"a": "2"}, "Second")
    repo.git("branch", "release/1", first)

    found = await code.commit("main")
    assert (found.sha, found.message, found.author) == (second, "Second", "Ada")
    assert found.committed_at == int(repo.git("log", "-1", "--format=%ct")) * 1000
    names = ["light", "v1", "tags/v1", "refs/tags/v1", "release/1", "heads/release/1", first, first[:9]]
    assert [(await code.commit(name)).sha for name in names] == [first] * len(names)
    assert (await code.commit(first)).message == "First, ü"
    assert await code.default_branch() == "main"

    third = repo.commit({"a": "3"})
    assert (await code.commit("main")).sha == third
    repo.git("branch", "-D", "release/1")
    with pytest.raises(NotFound, match="release/1"):
        await code.commit("release/1")


async def test_compared_and_contained(any_remote: Remote) -> None:
    repo, code = any_remote.repo, await any_remote.code()
    base = repo.commit({"a": "1"})
    left = repo.commit({"a": "2"}, "Left 1"), repo.commit({"a": "3"}, "Left 2")
    repo.git("checkout", "-q", "-b", "release/2", base)
    right = repo.commit({"b": "1"})

    assert (await code.compare(base, base)).status == "identical"
    ahead = await code.compare(base, "main")
    assert (ahead.status, ahead.ahead_by, ahead.behind_by) == ("ahead", 2, 0)
    assert [(one.sha, one.message) for one in ahead.commits] == [(left[0], "Left 1"), (left[1], "Left 2")]
    behind = await code.compare("main", base)
    assert (behind.status, behind.ahead_by, behind.behind_by, behind.commits) == ("behind", 0, 2, ())
    apart = await code.compare(left[1], right)
    assert (apart.status, apart.ahead_by, apart.behind_by, len(apart.commits)) == ("diverged", 1, 2, 1)

    assert await code.reachable(base, ["main"]) and await code.reachable(right, ["main", "release/*"])
    assert not await code.reachable(right, ["main", "release"])
    assert not await code.reachable("1" * 40, ["main"])


async def test_a_name_that_is_a_branch_and_a_tag_is_the_branch(by_path: Remote) -> None:
    old = by_path.repo.commit({"a": "1"})
    by_path.repo.git("tag", "main", old)
    new = by_path.repo.commit({"a": "2"})
    code = await by_path.code()
    assert ((await code.commit("main")).sha, (await code.commit("tags/main")).sha) == (new, old)


@pytest.mark.parametrize(
    "ref", ["-x", "--output=pwned", "a b", "a..b", "main^", "main:a", "", "@{u}", "a\nb", "*", "[a]"]
)
async def test_what_can_be_no_name_is_not_handed_to_git(by_path: Remote, ref: str) -> None:
    by_path.repo.commit({"a": "1"})
    code = await by_path.code()
    with pytest.raises(NotFound):
        await code.commit(ref)
    assert not (by_path.folder / "mirrors").exists()


async def test_a_name_that_a_shell_would_read_is_only_a_name(by_path: Remote) -> None:
    sha = by_path.repo.commit({"a": "1"})
    name = "x;touch${IFS}pwned&$(id)"
    by_path.repo.git("update-ref", f"refs/heads/{name}", sha)
    assert (await (await by_path.code()).commit(name)).sha == sha
    assert not [path for path in by_path.folder.rglob("pwned") if path.is_file()]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085"])
async def test_a_name_with_a_line_end_of_unicode_is_one_name(by_path: Remote, end: str) -> None:
    repo, code, branches = by_path.repo, await by_path.code(), await by_path.branches()
    main = repo.commit({"a": "1"})
    repo.git("checkout", "-q", "-b", f"x{end}main")
    other = repo.commit({"a": "2"})
    repo.git("tag", f"main/{end}refs/heads/main")

    assert not await code.reachable(other, ["main"]) and await code.reachable(other, [f"x{end}main"])
    assert [(await code.commit(name)).sha for name in ("main", f"x{end}main")] == [main, other]
    assert await branches.heads() == {"main": main, f"x{end}main": other}


@pytest.mark.parametrize("time", ["-5", "abc", "99999999999999", "9" * 30])
async def test_a_commit_with_no_possible_time_has_none(by_path: Remote, time: str) -> None:
    repo, code = by_path.repo, await by_path.code()
    base = repo.commit({"a": "1"})
    raw = repo.git("cat-file", "commit", repo.commit({"a": "2"})) + "\n"
    odd = by_path.folder / "odd"
    odd.write_text(re.sub(r"(?m)^(committer .*>) .*$", rf"\1 {time} +0000", raw))
    sha = repo.git("hash-object", "-t", "commit", "-w", "--literally", str(odd))
    repo.git("update-ref", "refs/heads/main", sha)

    found = await code.commit("main")
    assert (found.sha, found.committed_at) == (sha, 0)
    assert (await code.compare(base, sha)).commits == (found,)


async def test_what_is_live_is_known_after_its_branch_was_forced_away(by_http: Remote) -> None:
    repo, code = by_http.repo, await by_http.code()
    base = repo.commit({"a": "1"})
    live = repo.commit({"a": "2"})
    assert (await code.commit("main")).sha == live
    repo.git("reset", "-q", "--hard", base)
    for number in range(MANY_PACKS + 2):
        new = repo.commit({"a": f"other {number}"})
        await code.commit("main")
    packs = list((by_http.mirror / "objects" / "pack").glob("*.pack"))
    assert len(packs) < MANY_PACKS
    assert (await code.compare(live, new)).status == "diverged"
    assert not await code.reachable(live, ["main"])


@pytest.mark.parametrize("said", [rb"want \1 not valid          ", rb"we do not like \1          "])
async def test_a_sha_that_a_server_refuses_costs_nothing_that_is_here(by_path: Remote, said: bytes) -> None:
    repo = by_path.repo
    base = repo.commit({"a": "1"})
    live = repo.commit({"a": "2"})
    by_path.address = f"host:{repo.path}"
    code = await by_path.code(GIT_SSH_COMMAND=str(_refusing(by_path.folder, said)))
    assert (await code.commit("main")).sha == live
    repo.git("reset", "-q", "--hard", base)

    with pytest.raises(RemoteError):
        await code.commit("d" * 40)
    assert await code.mirror.has(live)


def _refusing(folder: Path, said: bytes) -> Path:
    """An ssh to this machine, to a server that has other words, as long as git's, for a sha it does not have."""
    program = folder / "ssh"
    program.write_text(
        f"#!{sys.executable}\nimport os, re, subprocess, sys\n"
        "there = subprocess.Popen(sys.argv[-1], shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "while part := os.read(there.stdout.fileno(), 65536):\n"
        f"    os.write(1, re.sub(rb'upload-pack: not our ref ([0-9a-f]+)', {said!r}, part))\n"
    )
    program.chmod(0o700)
    return program


async def test_files_are_left_out_where_the_remote_can(by_http: Remote) -> None:
    by_http.repo.commit({"large": "x" * 100_000})
    blob = by_http.repo.git("rev-parse", "HEAD:large")
    await (await by_http.code()).commit("main")
    listed = by_http.repo.git("--git-dir", str(by_http.mirror), "cat-file", "--batch-all-objects", "--batch-check")
    assert blob not in listed


async def test_what_a_branch_did(any_remote: Remote) -> None:
    repo, branches = any_remote.repo, await any_remote.branches()
    first = repo.commit({"a": "1"})
    second = repo.commit({"b": "1", "c/d": "1"}, "Second\n\n[skip deploy]")
    third = repo.commit({"b": None})
    repo.git("branch", "topic", first)
    assert await branches.heads() == {"main": third, "topic": first}

    moved = await branches.moved("main", first, second)
    assert (moved.branch, moved.before, moved.after, moved.forced) == ("main", first, second, False)
    assert (moved.message, moved.pusher) == ("Second\n\n[skip deploy]", "ada@example.com")
    assert moved.paths == {"b", "c/d"}
    assert (await branches.moved("main", first, third)).paths == {"b", "c/d"}
    made = await branches.moved("topic", None, first)
    assert (made.created, made.forced, made.pusher) == (True, False, "ada@example.com")
    gone = await branches.moved("topic", first, None)
    assert (gone.deleted, gone.forced, gone.message) == (True, False, "")
    assert (await branches.moved("main", third, first)).forced
    assert (await branches.moved("main", "1" * 40, third)).forced


async def test_a_repository_without_a_commit(by_path: Remote) -> None:
    code, branches = await by_path.code(), await by_path.branches()
    assert await branches.heads() == {}
    with pytest.raises(NotFound):
        await code.commit("main")
    sha = by_path.repo.commit({"a": "1"})
    assert (await code.commit("main")).sha == sha


async def test_shas_of_64_digits(tmp_path: Path, by_path: Remote) -> None:
    by_path.repo.git("init", "-q", "--bare", "--object-format=sha256", str(tmp_path / "wide.git"))
    by_path.repo.git("init", "-q", "-b", "main", "--object-format=sha256", str(tmp_path / "wide"))
    wide = type(by_path.repo)(tmp_path / "wide")
    first, second = wide.commit({"a": "1"}), wide.commit({"a": "2"})
    by_path.address = str(wide.path)
    assert len(first) == 64
    assert (await (await by_path.code()).compare(first, second)).status == "ahead"


# What goes wrong


async def test_what_an_ssh_leaves_running_with_its_stderr_holds_up_nothing(by_path: Remote) -> None:
    sha = by_path.repo.commit({"a": "1"})
    by_path.address = f"host:{by_path.repo.path}"
    pids, ssh = by_path.folder / "pids", by_path.folder / "ssh"
    ssh.write_text(
        f"#!/bin/sh\nsetsid sleep 600 </dev/null >/dev/null &\necho $! >> {pids}\n"
        'for last; do :; done\nexec sh -c "$last"\n'
    )
    ssh.chmod(0o700)
    try:
        async with asyncio.timeout(60):
            assert (await (await by_path.code(GIT_SSH_COMMAND=str(ssh))).commit("main")).sha == sha
    finally:
        for pid in map(int, pids.read_text().split()):
            os.kill(pid, signal.SIGKILL)


async def test_many_ask_at_once(by_http: Remote) -> None:
    """One fetch serves all who asked before it began."""
    sha = by_http.repo.commit({"a": "1"})
    code = await by_http.code()
    found = await asyncio.gather(*(code.commit("main") for _ in range(20)))
    assert {one.sha for one in found} == {sha}
    assert by_http.server
    assert len([one for one in by_http.server.requests if "info/refs" in one]) <= 8


async def test_what_was_fetched_counts_though_there_is_no_room_to_repack(
    by_path: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ghapp.vcs.git_mirror.MANY_PACKS", 0)
    git = by_path.folder / "bin" / "git"
    git.parent.mkdir()
    git.write_text(
        '#!/bin/sh\ncase " $* " in *" repack "*)\n'
        '    echo "fatal: write error: No space left on device" >&2; exit 128;;\nesac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    git.chmod(0o700)
    sha = by_path.repo.commit({"a": "1"})
    code = await by_path.code(PATH=f"{git.parent}:{os.environ['PATH']}")
    assert (await code.commit("main")).sha == sha


def _truncate(mirror: Path) -> None:
    for pack in (mirror / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:20])


def _no_packs(mirror: Path) -> None:
    for pack in (mirror / "objects" / "pack").glob("*"):
        pack.unlink()


def _no_config(mirror: Path) -> None:
    (mirror / "config").write_text("[core\n")


def _no_head(mirror: Path) -> None:
    (mirror / "HEAD").write_bytes(b"\0\0")


def _left_locked(mirror: Path) -> None:
    for name in ("config.lock", "packed-refs.lock", "refs/heads/main.lock", "shallow.lock"):
        (mirror / name).touch()


async def test_what_a_killed_git_has_left_is_swept_away(by_path: Remote) -> None:
    by_path.repo.commit({"a": "1"})
    await (await by_path.code()).commit("main")
    objects = by_path.mirror / "objects"
    left = [objects / name for name in ("pack/tmp_pack_1", "pack/.tmp-1-pack-1.pack", "tmp_obj_1", "0a/tmp_obj_1")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    await (await by_path.code()).commit("main")
    assert not [path for path in left if path.exists()]


@pytest.mark.parametrize("spoil", [_truncate, _no_packs, _no_config, _no_head, _left_locked])
async def test_a_spoilt_mirror_is_made_anew(by_http: Remote, spoil) -> None:  # type: ignore[no-untyped-def]
    first = by_http.repo.commit({"a": "1"})
    await (await by_http.code()).commit("main")
    spoil(by_http.mirror)
    code = await by_http.code()
    assert (await code.commit(first)).sha == first
    second = by_http.repo.commit({"a": "2"})
    assert (await code.commit("main")).sha == second
    assert (await code.compare(first, second)).status == "ahead"


@pytest.mark.parametrize("spoil", [_truncate, _no_packs])
async def test_what_is_missing_from_a_spoilt_mirror_is_not_taken_for_missing(by_path: Remote, spoil) -> None:  # type: ignore[no-untyped-def]
    """Only the older pack is spoilt, which no fetch of something newer looks at."""
    first = by_path.repo.commit({"a": "1"})
    await (await by_path.code()).commit("main")
    packs = by_path.mirror / "objects" / "pack"
    old, aside = set(packs.iterdir()), by_path.folder / "aside"
    second = by_path.repo.commit({"a": "2"})
    await (await by_path.code()).commit("main")
    aside.mkdir()
    new = [path.rename(aside / path.name) for path in packs.iterdir() if path not in old]
    spoil(by_path.mirror)
    for path in new:
        path.rename(packs / path.name)

    code = await by_path.code()
    assert await code.reachable(first, ["main"])
    assert ((await code.commit("main")).sha, (await code.commit(first)).sha) == (second, first)
    assert (await code.compare(first, second)).ahead_by == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthorized), (403, Unauthorized), (404, NotFound), (500, Unavailable), (429, Unavailable)],
)
async def test_answers_of_the_server_are_errors_of_one_kind(
    by_http: Remote, status: int, kind: type[RemoteError]
) -> None:
    assert by_http.server
    code, branches = await by_http.code(), await by_http.branches()
    for ask in (lambda: code.commit("main"), code.default_branch, branches.heads):
        by_http.server.answer = status
        with pytest.raises(kind) as caught:
            await ask()
        assert "the app" in caught.value.message


async def test_without_credentials_or_with_wrong_ones_it_says_how_to_give_some(by_http: Remote) -> None:
    by_http.repo.commit({"a": "1"})
    with pytest.raises(Unauthorized, match=r"refused the credentials.*GIT_ASKPASS of the app"):
        await (await by_http.code(GIT_ASKPASS="/bin/echo")).commit("main")
    by_http.environ.clear()
    with pytest.raises(Unauthorized, match=r"asks for credentials.*GIT_ASKPASS of the app"):
        await (await by_http.code()).commit("main")


async def test_where_nothing_is(by_path: Remote) -> None:
    by_path.address = str(by_path.folder / "nothing.git")
    with pytest.raises(NotFound, match="no repository at"):
        await (await by_path.code()).commit("main")
    by_path.address = "http://127.0.0.1:1/team/app.git"
    with pytest.raises(Unavailable, match="could not be reached"):
        await (await by_path.code()).commit("main")
    with pytest.raises(Refused, match="contains credentials"):
        await by_path.opened().find_repository("https://ana:secret@example.com/app.git")


async def test_cancelled_or_killed_it_leaves_no_process_and_goes_on_next_time(by_http: Remote) -> None:
    sha = by_http.repo.commit({"a": "1"})
    server, code = by_http.server, await by_http.code()
    assert server
    server.hold = True
    asking = asyncio.create_task(code.commit("main"))
    await server.holding.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: not dict(processes_about(str(by_http.folder / "mirrors"))), "nothing runs")

    server.holding.clear()
    asking = asyncio.create_task(code.commit("main"))
    await server.holding.wait()
    for pid in dict(processes_about(str(by_http.folder / "mirrors"))):
        if os.getpgid(pid) == pid:
            os.kill(pid, signal.SIGKILL)
    server.hold = False
    server.released.set()
    assert (await asking).sha == sha
