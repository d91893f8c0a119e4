"""Workspaces: a checkout is brought exactly to a commit, from one mirror per repository."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

import pytest

from runner import mirror
from runner.workspace import Source, WorkspaceError, Workspaces
from tests.integration.workspace.repositories import Repo, git
from tests.integration.workspace.tools import Desk, desk, inodes, snapshot


async def test_brings_the_files_and_a_git_that_commands_can_use(shop: Desk) -> None:
    shop.repo.commit({"app.py": "1\n", "lib/a.py": "a\n"}, "first")
    shop.repo.git("tag", "-a", "v1", "-m", "one")
    sha = shop.repo.commit({"app.py": "2\n"}, "second")

    tree = await shop.prepare(sha)

    assert (tree / "app.py").read_text() == "2\n"
    assert (tree / "lib/a.py").read_text() == "a\n"
    assert git(tree, "rev-parse", "HEAD") == sha
    assert git(tree, "log", "--format=%s").split() == ["second", "first"]
    assert git(tree, "describe") == f"v1-1-g{sha[:7]}"
    assert git(tree, "status", "--porcelain", "--ignored") == ""
    assert git(tree, "remote", "get-url", "origin") == shop.repo.url
    assert git(tree, "fsck") == ""


async def test_keeps_what_did_not_change_and_removes_what_is_gone(shop: Desk) -> None:
    first = shop.repo.commit({"same.txt": "s", "changed.txt": "1", "gone/deep/a.txt": "a"})
    second = shop.repo.commit({"changed.txt": "2", "gone/deep/a.txt": None})
    tree = await shop.prepare(first)
    before = (tree / "same.txt").stat()

    assert await shop.prepare(second) == tree

    assert (tree / "same.txt").stat() == before
    assert (tree / "changed.txt").read_text() == "2"
    assert sorted(path.name for path in tree.iterdir()) == [".git", "changed.txt", "same.txt"]
    assert git(tree, "rev-parse", "HEAD") == second


async def test_what_the_mirror_has_needs_no_network(shop: Desk) -> None:
    shop.token = lambda: pytest.fail("the token was asked for")
    older = shop.repo.commit({"a": "1"})
    newer = shop.repo.commit({"a": "2"})
    shop.token = lambda: None
    await shop.prepare(newer)

    shop.repo.path.rename(shop.repo.path.with_name("elsewhere"))
    shop.token = lambda: pytest.fail("the token was asked for")

    for environment, sha in (("staging", newer), ("production", older), ("production", newer)):
        tree = await shop.prepare(sha, environment=environment)
        assert git(tree, "rev-parse", "HEAD") == sha


async def test_environments_share_a_mirror_but_no_file(shop: Desk) -> None:
    sha = shop.repo.commit({"a": "1", "b/c": "2"})

    staging = await shop.prepare(sha, environment="staging")
    production = await shop.prepare(sha, environment="production")

    assert snapshot(staging) == snapshot(production)
    assert len(list((shop.folder / "mirrors").glob("*.git"))) == 1
    assert not inodes(staging) & inodes(production)
    assert not (inodes(staging) | inodes(production)) & inodes(shop.folder / "mirrors")
    assert not (staging / ".git/objects/info/alternates").exists()


async def test_a_commit_in_the_checkout_reaches_no_other_one(shop: Desk) -> None:
    sha = shop.repo.commit({"a": "1"})
    staging = await shop.prepare(sha, environment="staging")
    for name in ("mirror", "production"):
        (staging / "a").write_text(name)
        git(staging, "commit", "-qam", name)
    git(staging, "gc", "-q", "--prune=now")

    production = await shop.prepare(sha, environment="production")

    assert git(production, "log", "--format=%s") == "change"
    assert snapshot(await shop.prepare(sha, environment="staging")) == snapshot(production)


async def test_environments_are_prepared_at_the_same_time(shop: Desk) -> None:
    shas = [shop.repo.commit({"a": str(number), f"f{number}": "x"}) for number in range(4)]

    trees = await asyncio.gather(
        *(shop.prepare(sha, environment=f"env{number}") for number, sha in enumerate(shas)),
        *(shop.prepare(sha, environment=f"more{number}") for number, sha in enumerate(shas)),
    )

    for tree, sha in zip(trees, shas * 2, strict=True):
        assert git(tree, "rev-parse", "HEAD") == sha
        assert git(tree, "status", "--porcelain") == ""


async def test_one_environment_is_prepared_by_one_at_a_time(shop: Desk) -> None:
    one, two = shop.repo.commit({"a": "1"}), shop.repo.commit({"a": "2"})

    await asyncio.gather(shop.prepare(one), shop.prepare(two), shop.prepare(one))

    tree = await shop.prepare(two)
    assert (tree / "a").read_text() == "2"
    assert any("same checkout" in line for line in shop.said)


async def test_kinds_modes_and_odd_names_of_files(shop: Desk) -> None:
    names = ["-x", "new\nline", " spaced ", "$(id)", "ä", "q\"uote'", "deep/er/%41", "back\\slash"]
    shop.repo.commit({name: name for name in names})
    raw = os.fsencode(shop.repo.path) + b"/raw\xff"
    Path(os.fsdecode(raw)).write_bytes(b"\0\xff")
    (shop.repo.path / "link").symlink_to("deep")
    (shop.repo.path / "run.sh").write_text("#!/bin/sh\n")
    (shop.repo.path / "run.sh").chmod(0o755)
    sha = shop.repo.commit({})

    tree = await shop.prepare(sha)
    again = await shop.prepare(sha)

    assert again == tree
    for name in names:
        assert (tree / name).read_text() == name
    assert Path(os.fsdecode(os.fsencode(tree) + b"/raw\xff")).read_bytes() == b"\0\xff"
    assert (tree / "link").readlink() == Path("deep")
    assert (tree / "run.sh").stat().st_mode & stat.S_IXUSR
    assert git(tree, "status", "--porcelain") == ""


async def test_files_that_git_calls_modified_as_soon_as_it_wrote_them(shop: Desk) -> None:
    shop.repo.commit({"a.txt": "1\r\n2\r\n", "b.txt": "1\n"})
    (shop.repo.path / ".gitattributes").write_text("a.txt text\nb.txt text eol=crlf\n")
    shop.repo.git("add", ".gitattributes")
    shop.repo.git("commit", "-qm", "attributes")
    sha = shop.repo.git("rev-parse", "HEAD")
    assert "\r" in shop.repo.git("show", "HEAD:a.txt")

    for environment in ("production", "production", "staging"):
        tree = await shop.prepare(sha, environment=environment)
        assert (tree / "a.txt").read_bytes() == b"1\r\n2\r\n"
        assert (tree / "b.txt").read_bytes() == b"1\r\n"
    assert not any("made anew" in line for line in shop.said)


async def test_somebody_who_writes_into_the_checkout_meanwhile_is_noticed(shop: Desk, tmp_path: Path) -> None:
    """A ``git`` that leaves a file behind after it has written the tree stands for a daemon of an earlier deploy."""
    sha = shop.repo.commit({"a": "1"})
    real = shutil.which("git")
    stand_in = tmp_path / "bin/git"
    stand_in.parent.mkdir()
    writes = f'{real} "$@"; echo 2 > "${{2#--work-tree=}}/a"'
    stand_in.write_text(f'#!/bin/sh\ncase "$*" in *checkout*) {writes};; *) exec {real} "$@";; esac\n')
    stand_in.chmod(0o755)
    shop.workspaces = Workspaces(shop.folder, environ={"PATH": f"{stand_in.parent}:{os.environ['PATH']}"})

    with pytest.raises(WorkspaceError, match="not as they should be, such as 'a'"):
        await shop.prepare(sha)

    assert sum("made anew" in line for line in shop.said) == 2


@pytest.mark.parametrize("name", ["..", ".", "../../x", "a/b", "/etc", "-x", "", "é" * 200, "a" * 300, "$(id)", "x;y"])
async def test_names_become_folders_of_their_own(shop: Desk, name: str) -> None:
    sha = shop.repo.commit({"a": "1"})
    one = await shop.prepare(sha, app=name, environment="e")
    two = await shop.prepare(sha, app="e", environment=name)
    other = await shop.prepare(sha, app="e", environment=name + "x")

    checkouts = shop.folder / "checkouts"
    assert len({one, two, other}) == 3
    for tree in (one, two, other):
        assert tree.resolve().parent.parent == checkouts.resolve()
        assert (tree / "a").read_text() == "1"


async def test_a_repository_with_sha256(tmp_path: Path) -> None:
    wide = desk(tmp_path)
    shutil.rmtree(wide.repo.path)
    wide.repo = Repo.create(wide.repo.path, "--object-format=sha256")
    first, second = wide.repo.commit({"a": "1"}), wide.repo.commit({"a": "2"})

    await wide.prepare(first)
    tree = await wide.prepare(second)

    assert len(second) == 64
    assert git(tree, "rev-parse", "HEAD") == second
    assert git(tree, "log", "--format=%H").split() == [second, first]


async def test_tags_that_moved_or_went_are_followed(shop: Desk) -> None:
    first = shop.repo.commit({"a": "1"})
    shop.repo.git("tag", "live")
    shop.repo.git("tag", "old/tag")
    await shop.prepare(first)

    second = shop.repo.commit({"a": "2"})
    shop.repo.git("tag", "-f", "live")
    shop.repo.git("tag", "-d", "old/tag")
    shop.repo.git("tag", "old")
    tree = await shop.prepare(second)

    assert not any("made anew" in line for line in shop.said)
    assert git(tree, "tag").split() == ["live", "old"]
    assert git(tree, "rev-parse", "live") == second


async def test_a_commit_that_was_forced_away_stays_deployable(shop: Desk) -> None:
    shop.repo.commit({"a": "1"})
    away = shop.repo.commit({"a": "2"})
    await shop.prepare(away)
    shop.repo.git("reset", "-q", "--hard", "HEAD~1")
    shop.repo.git("reflog", "expire", "--expire=now", "--all")
    shop.repo.git("gc", "-q", "--prune=now")
    await shop.prepare(shop.repo.commit({"a": "3"}))

    tree = await shop.prepare(away, environment="staging")

    assert (tree / "a").read_text() == "2"


async def test_packs_are_joined_before_they_become_many(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MANY_PACKS", 3)
    shas = [shop.repo.commit({"a": str(number)}) for number in range(9)]
    for sha in shas:
        tree = await shop.prepare(sha)

    assert len(list((shop.mirror / "objects/pack").glob("*.pack"))) <= 4
    assert len(list((tree / ".git/objects/pack").glob("*.pack"))) <= 4
    assert git(tree, "log", "--format=%H").split() == shas[::-1]
    for sha in shas:
        assert git(await shop.prepare(sha, environment="any"), "rev-parse", "HEAD") == sha


async def test_a_commit_that_is_not_there_is_said(shop: Desk) -> None:
    shop.repo.commit({"a": "1"})

    with pytest.raises(WorkspaceError) as caught:
        await shop.prepare("1" * 40)

    assert "force-push" in caught.value.message
    assert "1" * 40 in caught.value.message


async def test_only_commits_are_deployed(shop: Desk) -> None:
    shop.repo.commit({"a": "1"})
    shop.repo.git("tag", "-a", "v1", "-m", "one")

    for name in ("v1", "HEAD^{tree}"):
        with pytest.raises(WorkspaceError):
            await shop.prepare(shop.repo.git("rev-parse", name))


@pytest.mark.parametrize("sha", ["", "HEAD", "abc", "-x", "A" * 40, "a" * 39, "a" * 40 + "\n", "../../../etc"])
async def test_what_is_no_commit_id_is_refused(shop: Desk, sha: str) -> None:
    with pytest.raises(WorkspaceError, match="no full commit id"):
        await shop.prepare(sha)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@example.com/a.git",
        "https://hunter2@example.com/a.git",
        "ssh://git:hunter2@example.com/a.git",
        "http://example.com/hunter2.git",
        "http://127.0.0.1.example.com/hunter2.git",
        "ext::sh -c hunter2",
        "--upload-pack=hunter2",
        "ssh://-oProxyCommand=hunter2/a",
        "git@-oProxyCommand=hunter2:a",
        "file:hunter2",
        "/hunter2",
        "https:///a",
        "https://example.com/a\nb",
        "",
    ],
)
async def test_addresses_that_are_refused(shop: Desk, url: str) -> None:
    source = Source("k", url, "1" * 40, "main")
    with pytest.raises(WorkspaceError) as caught:
        await shop.workspaces.prepare(
            source, app="a", environment="e", token=lambda: pytest.fail("asked"), progress=print
        )
    assert "address" in caught.value.message or "https" in caught.value.message
    assert "user:hunter2" not in caught.value.message
