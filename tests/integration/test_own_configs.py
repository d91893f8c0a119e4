"""What repositories define themselves, read from and shown at a GitHub: the sandbox, by the real client."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from ghapp.core.remote import Refused
from ghapp.sandbox.server import Sandbox
from ghapp.service import discovering, outgoing, reload, seeing
from ghapp.service.context import Context
from ghapp.store.stores import open_stores
from ghapp.vcs.github_app import GitHubApp

REPO = "acme/hello"
PATH = ".github/kedge.yml"
OPERATORS = "other: {deploy: x, repository: acme/other}"


@dataclass
class World:
    gh: Sandbox
    ctx: Context
    app: GitHubApp

    async def settle(self) -> None:
        """List, look and tell."""
        await discovering.discover(self.ctx)
        await discovering.look_due(self.ctx)
        await outgoing.deliver_due(self.ctx)

    def statuses(self, sha: str) -> list[tuple[str, str | None]]:
        known = self.gh.world.state.checks_of(self.gh.world.repository(REPO), sha)
        return [(one.state, one.description) for one in known.statuses if one.context == "kedge/config"]

    def asked(self) -> list[tuple[str, int]]:
        """What the sandbox was asked since the last time, below the repository."""
        found = [(one.path.removeprefix(f"/repos/{REPO}"), one.status) for one in self.gh.requests]
        self.gh.requests.clear()
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    stores = await open_stores(f"sqlite:///{tmp_path}/kedge.db")
    async with Sandbox(tmp_path / "github") as gh, aiohttp.ClientSession() as session:
        gh.add_repository(REPO, private=True)
        keys = gh.add_app()
        gh.install(keys.id, [REPO])
        app = GitHubApp(session, app_id=keys.id, private_key=keys.private_key, api_url=gh.api_url)
        ctx = Context(stores=stores, providers={"github": app}, url="https://kedge.test", lease_key=b"k" * 32)
        await reload.put_in_force(ctx, OPERATORS)
        yield World(gh, ctx, app)
        await app.close()
    await stores.close()


async def test_from_nothing_to_broken_to_mended_to_gone(world: World) -> None:
    await world.settle()
    assert set(world.ctx.apps.configs) == {"other"}
    world.gh.commit(REPO, "feature", {PATH: "evil: {deploy: x}"})
    world.gh.commit(REPO, "main", {PATH: "web: {deploy: ./web.sh}"})
    await world.settle()
    assert world.ctx.apps.configs["web"].own_id == world.gh.world.repository(REPO).id
    world.gh.commit(REPO, "main", {"README.md": "more"})
    broken = world.gh.commit(REPO, "main", {PATH: "web:\n  deploy: ./web.sh\n  timout: 5m\n"})
    later = world.gh.commit(REPO, "main", {"README.md": "yet more"})
    await world.settle()
    assert world.statuses(broken) == [("error", "line 3: web.timout: unknown key; did you mean `timeout`?")]
    assert world.statuses(later) == []
    assert world.ctx.apps.configs["web"].environments[0].timeout_s == 1800
    mended = world.gh.commit(REPO, "main", {PATH: "web: {deploy: ./web.sh, timeout: 5m}"})
    await world.settle()
    assert world.statuses(mended) == [("success", "In force: web.")]
    assert world.ctx.apps.configs["web"].environments[0].timeout_s == 300
    world.gh.commit(REPO, "main", {PATH: None})
    await world.settle()
    assert set(world.ctx.apps.configs) == {"other"}


async def test_what_has_not_changed_costs_nothing(world: World) -> None:
    """A push that leaves the file alone, and one that Kedge heard of twice."""
    world.gh.commit(REPO, "main", {PATH: "web: {deploy: ./web.sh}"})
    await world.settle()
    world.asked()
    world.gh.commit(REPO, "main", {"README.md": "more"})
    await world.settle()
    assert [one for one in world.asked() if "/commits" in one[0] or "/contents" in one[0]] == [("/commits", 304)]
    await world.settle()
    assert {status for _, status in world.asked()} == {304}


async def test_a_tag_that_is_called_like_the_default_branch_is_not_read(world: World) -> None:
    """Where the branch is protected, anybody who may push may still push tags."""
    evil = world.gh.commit(REPO, "feature", {PATH: "evil: {deploy: x}"})
    world.gh.commit(REPO, "main", {PATH: "web: {deploy: ./web.sh}"})
    world.gh.world.git.set_ref(REPO, "refs/tags/main", evil)
    await world.settle()
    assert set(world.ctx.apps.configs) == {"other", "web"}


async def test_what_is_no_file_or_too_large_is_told(world: World) -> None:
    world.gh.commit(REPO, "main", {f"{PATH}/nested": "x"})
    await world.settle()
    found = await world.ctx.stores.main.read(seeing.troubled)
    assert [one.said for one in found] == [f"line 1: {PATH} is not a file."]
    files = world.app.files(found[0].repository)
    with pytest.raises(Refused, match="is larger than 1 MB"):
        await files.read_file("large", world.gh.commit(REPO, "main", {"large": "x" * 1_100_000}))
    assert await files.read_file("none", "main") is None
    assert await files.newest_change("none", "main") is None


async def test_without_the_permission_to_write_statuses_the_pages_tell(world: World) -> None:
    read_only = {"metadata": "read", "contents": "read", "statuses": "read"}
    (installation,) = world.gh.world.state.installations.values()
    world.gh.install(installation.app_id, [REPO], permissions=read_only)
    world.gh.commit(REPO, "main", {PATH: "web: 5"})
    await world.settle()
    (found,) = await world.ctx.stores.main.read(seeing.troubled)
    assert "line 1: web: " in found.said
    assert "for which the App needs statuses:write" in found.said
