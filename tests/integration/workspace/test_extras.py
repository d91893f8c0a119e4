"""Submodules and Git LFS in a workspace."""

import os
from pathlib import Path

import pytest

from runner.workspace import WorkspaceError, Workspaces
from tests.integration.workspace.repositories import TOKEN, GitServer, Repo, git, serving
from tests.integration.workspace.tools import Desk, files_with


async def _with_submodule(remote_shop: Desk, url: str, inner: Repo) -> str:
    inner.commit({"inside.txt": "in"})
    remote_shop.repo.commit({"a": "1"})
    remote_shop.repo.git("clone", "-q", str(inner.path), "lib/inner")
    (remote_shop.repo.path / ".gitmodules").write_text(f'[submodule "in"]\n\tpath = lib/inner\n\turl = {url}\n')
    return remote_shop.repo.commit({})


async def test_submodules_with_the_same_credentials(remote_shop: Desk, server: GitServer) -> None:
    inner = Repo.create(server.root / "inner")
    sha = await _with_submodule(remote_shop, "../../inner/.git", inner)

    tree = await remote_shop.prepare(sha)
    (tree / "lib/inner/left").write_text("x")
    git(tree / "lib/inner", "config", "core.fsmonitor", "/nowhere")
    (tree / "lib/inner/inside.txt").write_text("changed")
    again = await remote_shop.prepare(sha)

    assert (again / "lib/inner/inside.txt").read_text() == "in"
    assert not (again / "lib/inner/left").exists()
    assert git(again / "lib/inner", "status", "--porcelain", "--ignored") == ""
    assert git(again, "status", "--porcelain", "--ignored") == ""
    assert files_with(TOKEN, remote_shop.folder) == []


@pytest.mark.parametrize("user", ["", "x-access-token@", "somebody@"])
async def test_a_submodule_elsewhere_gets_no_token(remote_shop: Desk, server: GitServer, user: str) -> None:
    async with serving(server.root) as other:
        inner = Repo.create(server.root / "inner")
        sha = await _with_submodule(remote_shop, other.url(inner).replace("//", f"//{user}", 1), inner)

        with pytest.raises(WorkspaceError, match="credentials"):
            await remote_shop.prepare(sha)

        assert other.requests
        assert other.passwords == []


@pytest.mark.parametrize("url", ["file://{}", "ext::touch {}/pwned", "git://127.0.0.1:1{}"])
async def test_a_submodule_of_another_kind_is_refused(remote_shop: Desk, server: GitServer, url: str) -> None:
    inner = Repo.create(server.root / "inner")
    sha = await _with_submodule(remote_shop, url.format(inner.path), inner)

    with pytest.raises(WorkspaceError, match="not allowed here"):
        await remote_shop.prepare(sha)

    assert not (inner.path / "pwned").exists()


async def test_a_submodule_that_goes(remote_shop: Desk, server: GitServer) -> None:
    inner = Repo.create(server.root / "inner")
    with_it = await _with_submodule(remote_shop, server.url(inner), inner)
    remote_shop.repo.git("rm", "-q", "--cached", "lib/inner")
    remote_shop.repo.git("rm", "-q", "--cached", ".gitmodules")
    remote_shop.repo.git("commit", "-qm", "without")
    without = remote_shop.repo.git("rev-parse", "HEAD")

    await remote_shop.prepare(with_it)
    tree = await remote_shop.prepare(without)

    assert sorted(path.name for path in tree.iterdir()) == [".git", "a"]
    assert not (tree / ".git/modules").exists()


async def test_without_git_lfs_there_are_pointers(remote_shop: Desk) -> None:
    sha = remote_shop.repo.commit(
        {"sub/.gitattributes": "*.bin filter=lfs\n", "sub/x.bin": "version https://git-lfs\n"}
    )
    if git(remote_shop.repo.path, "lfs", "version", check=False):
        pytest.skip("git-lfs is installed")

    tree = await remote_shop.prepare(sha)

    assert (tree / "sub/x.bin").read_text() == "version https://git-lfs\n"
    assert any("Git LFS is not installed" in line for line in remote_shop.said)


async def test_git_lfs_is_asked_for_the_files(remote_shop: Desk, tmp_path: Path) -> None:
    sha = remote_shop.repo.commit({".gitattributes": "*.bin filter=lfs\n", "x.bin": "pointer\n"})
    stand_in = tmp_path / "bin/git-lfs"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/sh\nif [ "$1" = pull ]; then git config filter.lfs.required && git config lfs.storage && '
        'echo url=$(git remote get-url origin) | git credential fill >> "$HOME/filled"; echo real > x.bin; fi\n'
    )
    stand_in.chmod(0o755)
    environ = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "home")}
    remote_shop.workspaces = Workspaces(remote_shop.folder, environ=environ)

    tree = await remote_shop.prepare(sha)

    assert (tree / "x.bin").read_text() == "real\n"
    assert f"password={TOKEN}" in (tmp_path / "home/filled").read_text()
    assert (await remote_shop.prepare(sha) / "x.bin").read_text() == "real\n"
