"""What every provider does alike, and what each of them cannot do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ghapp.core.remote import NotFound
from ghapp.core.values import DeploymentStatus
from ghapp.vcs.base import NewDeployment
from ghapp.vcs.provider import Provider
from tests.contract.provider.scenes import SCENES, GitScene, Scene

OF_A_REPOSITORY = ("checks", "deployments", "people", "branches", "tree", "conversation", "files")


@pytest.fixture(params=SCENES)
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    opened, _ = SCENES[request.param]
    async with opened(tmp_path) as made:
        yield made


async def test_what_it_can_do_is_what_it_says(scene: Scene, request: pytest.FixtureRequest) -> None:
    _, can = SCENES[request.node.callspec.params["scene"]]
    repository, provider = await scene.repository(), scene.provider
    able = {name for name in OF_A_REPOSITORY if getattr(provider, name)(repository) is not None}
    able |= {name for name in ("webhooks", "record") if getattr(provider, name) is not None}
    if await provider.repo_token(repository):
        able.add("repo_token")
    assert able == can
    overridden = {name for name in OF_A_REPOSITORY if getattr(type(provider), name) is not getattr(Provider, name)}
    assert overridden == can & set(OF_A_REPOSITORY), "what a class overrides is what a config may ask of it"
    assert provider.title and provider.title == type(provider).title


async def test_a_repository_is_found_by_its_name(scene: Scene) -> None:
    found = await scene.repository()
    assert found == await scene.repository() and found.id > 0
    assert found.full_name.count("/") == 1 and found.clone_url
    assert type(scene.provider).wrong_with(scene.name) is None
    if not isinstance(scene, GitScene):  # an address is a repository's name there, and is not looked up
        assert await scene.provider.find_repository(f"{scene.name}x") == []


async def test_a_commit_by_branch_and_by_sha(scene: Scene) -> None:
    code = scene.provider.code(await scene.repository())
    sha = scene.commit("main", "second")
    for ref in ("main", sha, sha[:10], sha.upper()[:12]):
        found = await code.commit(ref)
        assert (found.sha, bool(found.message), bool(found.author)) == (sha, True, True)
        assert found.committed_at > 1_600_000_000_000
    assert (await code.commit(scene.first)).sha == scene.first
    assert await code.default_branch() == "main"
    for unknown in ("nowhere", "0123456789" * 4):
        with pytest.raises(NotFound):
            await code.commit(unknown)


async def test_comparing(scene: Scene) -> None:
    code = scene.provider.code(await scene.repository())
    second, third = scene.commit("main", "second"), scene.commit("main", "third")
    other = scene.commit("release-1", "other", base=scene.first)
    ahead = await code.compare(scene.first, third)
    assert (ahead.status, ahead.ahead_by, ahead.behind_by) == ("ahead", 2, 0)
    assert [one.sha for one in ahead.commits] == [second, third]
    behind = await code.compare("main", scene.first)
    assert (behind.status, behind.ahead_by, behind.behind_by, behind.commits) == ("behind", 0, 2, ())
    same = await code.compare(third, "main")
    assert (same.status, same.ahead_by, same.behind_by) == ("identical", 0, 0)
    apart = await code.compare("main", other)
    assert (apart.status, apart.ahead_by, apart.behind_by) == ("diverged", 1, 2)
    with pytest.raises(NotFound):
        await code.compare(scene.first, "0123456789" * 4)


async def test_what_branches_contain(scene: Scene) -> None:
    code = scene.provider.code(await scene.repository())
    second = scene.commit("main", "second")
    other = scene.commit("release-1", "other", base=scene.first)
    assert await code.reachable(scene.first, ["main"])
    assert await code.reachable(other, ["main", "release-*"])
    assert not await code.reachable(other, ["main", "stable-*"])
    assert not await code.reachable(second, ["release-*"])


async def test_branches_of_a_host_that_tells_nothing(scene: Scene) -> None:
    branches = scene.provider.branches(await scene.repository())
    if branches is None:
        return
    assert await branches.heads() == {"main": scene.first}
    second = scene.commit("main", "second")
    other = scene.commit("release", "other", base=scene.first)
    assert await branches.heads() == {"main": second, "release": other}
    pushed = await branches.moved("main", scene.first, second)
    assert (pushed.branch, pushed.before, pushed.after, pushed.forced) == ("main", scene.first, second, False)
    assert pushed.repository == await scene.repository() and pushed.message and pushed.pusher
    assert (await branches.moved("release", None, other)).created
    assert (await branches.moved("main", other, second)).forced, "what was there is not on it any more"
    assert (await branches.moved("release", other, None)).deleted


async def test_the_files_of_a_commit(scene: Scene, tmp_path: Path) -> None:
    tree = scene.provider.tree(await scene.repository())
    if tree is None:
        return
    sha, folder = scene.commit("main", "second"), tmp_path / "files"
    folder.mkdir()
    await tree.export(sha, folder)
    assert [one.name for one in folder.iterdir()] == ["second"]
    assert (folder / "second").stat().st_mode & 0o111
    with pytest.raises(NotFound):
        await tree.export("0123456789" * 4, folder)


async def test_deployments(scene: Scene) -> None:
    deployments = scene.provider.deployments(await scene.repository())
    if deployments is None:
        return
    new = NewDeployment(
        request="r1", sha=scene.first, ref="main", task="deploy", environment="prod", user="ana", production=True
    )
    assert await deployments.find_deployment(new) is None
    made = await deployments.create_deployment(new)
    assert await deployments.find_deployment(new) == made
    assert await deployments.newest_status(made.deployment_id) is None
    await deployments.create_status(made.deployment_id, DeploymentStatus("in_progress", "Runs.", "https://k.test/1"))
    shown = await deployments.newest_status(made.deployment_id)
    assert shown and (shown.state, shown.description) == ("in_progress", "Runs.")
    with pytest.raises(NotFound):
        await deployments.newest_status(999_999)
