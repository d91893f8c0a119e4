"""A host that tells nothing: what moves there is found by looking, and becomes automatic deploys as pushes do."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from ghapp.core.remote import RateLimited, RemoteError, Unavailable
from ghapp.core.values import Repository
from ghapp.service import measuring, polling
from ghapp.service.polling import Poller
from ghapp.store import polled
from ghapp.store.base import StoreError
from ghapp.vcs.events import PushEvent
from tests.protocol.branch import Branches, Pushes, sha
from tests.protocol.rig import REPOSITORY, Rig

CONFIG = """
hello:
  repository: acme/hello
  deploy: "./deploy.sh {env} {sha}"
  environments:
    staging: {checks: [], auto: {branch: main, after: push}}
    production: {checks: []}
"""
OTHER = """
{name}:
  via: "tests.protocol.test_polling:Hanging"
  repository: acme/{name}
  deploy: "./deploy.sh {{env}} {{sha}}"
  environments:
    staging: {{checks: [], auto: {{branch: main, after: push}}}}
"""


@dataclass
class Silent(Branches):
    """Where its branches are has to be asked for."""

    webhooks: Any = None
    refuses: RemoteError | None = None
    looks: int = 0
    moves: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def branches(self, repository: Repository) -> Any:
        return _Looked(self)


@dataclass
class _Looked:
    host: Silent

    async def heads(self) -> Mapping[str, str]:
        self.host.looks += 1
        if self.host.refuses:
            raise self.host.refuses
        return dict(self.host.heads)

    async def moved(self, branch: str, before: str | None, after: str | None) -> PushEvent:
        self.host.moves.append((branch, before, after))
        return PushEvent(
            repository=REPOSITORY,
            installation_id=None,
            branch=branch,
            before=before,
            after=after,
            forced=bool(before and after and before not in self.host.line_of(after)),
            message="Change something",
            pusher="bob",
        )


@dataclass
class Hanging(Branches):
    """Finds no repository until it is `let`; ``hung`` are those that were asked for."""

    webhooks: Any = None
    let: asyncio.Event = field(default_factory=asyncio.Event)
    hung: list[str] = field(default_factory=list)

    async def find_repository(self, name: str) -> list[Repository]:
        self.hung.append(name)
        await self.let.wait()
        return []


@dataclass
class Watched:
    """``it`` pushes without anybody being told; `look` lets time pass and looks."""

    rig: Rig
    it: Pushes
    host: Silent
    poller: Poller = field(default_factory=Poller)

    async def look(self, after_s: float = 20) -> None:
        self.rig.clock[0] += int(after_s * 1000)
        await self.poller.poll_due(self.rig.ctx)
        await self.it.judge()


@pytest.fixture
async def watched(rig: Rig) -> Watched:
    host = Silent(parents={sha("0"): None}, heads={"main": sha("0")})
    rig.provider = host
    rig.ctx.providers = {"github": host}
    await rig.config(CONFIG)
    return Watched(rig, Pushes(rig, host), host)


async def test_what_was_there_before_is_history_and_what_moves_is_deployed(watched: Watched) -> None:
    await watched.look()
    assert await watched.it.states() == []
    watched.it.commit("a")
    await watched.look()
    assert await watched.it.states() == [("a", "queued")]
    await watched.look()
    assert (len(watched.host.moves), watched.host.looks) == (1, 3)


async def test_what_moved_while_kedge_was_away_is_found(watched: Watched) -> None:
    await watched.look()
    watched.it.commit("a")
    watched.it.commit("b")
    watched.rig.restart()
    watched.poller = Poller()
    await watched.look()
    assert await watched.it.states() == [("b", "queued")]


async def test_a_branch_that_comes_later_is_a_push_too(watched: Watched) -> None:
    watched.host.heads.clear()
    await watched.look()
    watched.host.heads["main"] = sha("0")
    await watched.look()
    assert await watched.it.states() == [("0", "queued")]
    watched.it.delete()
    await watched.look()
    assert (await watched.it.existing("0")).state == "cancelled"


async def test_moved_back_it_is_a_forced_push(watched: Watched) -> None:
    await watched.look()
    watched.it.commit("a")
    await watched.look()
    watched.it.commit("b", on="0")
    await watched.look()
    assert (await watched.it.existing("a")).state == "cancelled"
    assert (await watched.it.existing("b")).state == "queued"


async def test_dead_before_it_was_saved_it_is_found_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    await watched.look()
    watched.it.commit("a")
    moved = polled.move

    async def fails(*given: Any) -> bool:
        await moved(*given)
        raise StoreError("the disk is full")

    monkeypatch.setattr(polled, "move", fails)
    await watched.look()
    assert await watched.it.states() == []
    monkeypatch.setattr(polled, "move", moved)
    await watched.look(60)
    assert await watched.it.states() == [("a", "queued")]


async def test_two_processes_look_and_one_acts(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    await watched.look()
    watched.it.commit("a")
    moved, raced = _Looked.moved, list[bool]()

    async def slowly(host: _Looked, *given: Any) -> PushEvent:
        event = await moved(host, *given)
        if not raced:
            raced.append(True)
            await polling.look(watched.rig.ctx, watched.rig.ctx.apps.configs["hello"])  # the other one is quicker
        return event

    monkeypatch.setattr(_Looked, "moved", slowly)
    await watched.look()
    assert (await watched.it.states(), raced) == ([("a", "queued")], [True])


async def test_who_cannot_be_asked_is_asked_more_and_more_seldom(watched: Watched) -> None:
    await watched.look()
    watched.it.commit("a")
    watched.host.refuses = Unavailable("no route to host")
    for _ in range(30):
        await watched.look(10)
    assert watched.host.looks < 8
    lag = await watched.rig.ctx.stores.main.read(
        lambda tx: measuring.reconciler_lag(tx, watched.rig.ctx, watched.rig.clock[0])
    )
    assert lag and lag >= 290
    watched.host.refuses = None
    await watched.look(400)
    assert await watched.it.states() == [("a", "queued")]


async def test_a_rate_limit_is_honoured(watched: Watched) -> None:
    watched.host.refuses = RateLimited("slowly", retry_after_s=3600)
    await watched.look()
    await watched.look(3599)
    assert watched.host.looks == 1
    await watched.look(1000)
    assert watched.host.looks == 2


async def test_a_rate_limit_is_honoured_where_the_repository_is_looked_up(watched: Watched) -> None:
    asked: list[str] = []

    async def refuse(name: str) -> list[Repository]:
        asked.append(name)
        raise RateLimited("slowly", retry_after_s=3600)

    watched.host.find_repository = refuse  # type: ignore[method-assign]
    await watched.rig.config(CONFIG.replace("acme/hello", "acme/renamed"))
    await watched.look()
    await watched.look(3599)
    assert asked == ["acme/renamed"]
    await watched.look(1000)
    assert asked == ["acme/renamed"] * 2


async def test_a_branch_that_cannot_be_told_holds_up_no_other(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.look()
    looked_at = await watched.rig.ctx.stores.main.read(polled.oldest)
    moved = _Looked.moved

    async def fails(host: _Looked, branch: str, before: str | None, after: str | None) -> PushEvent:
        if branch == "broken":
            raise Unavailable("that one cannot be told")
        return await moved(host, branch, before, after)

    with monkeypatch.context() as broken:
        broken.setattr(_Looked, "moved", fails)
        watched.host.heads["broken"] = sha("0")
        watched.it.commit("a")
        await watched.look()
    assert await watched.it.states() == [("a", "queued")]
    assert await watched.rig.ctx.stores.main.read(polled.oldest) == looked_at
    await watched.look(60)
    assert watched.host.moves[-1] == ("broken", None, sha("0"))


async def test_once_a_host_limits_its_rate_no_other_branch_is_asked_about(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.look()
    asked: list[str] = []

    async def refuses(_: _Looked, branch: str, *given: object) -> PushEvent:
        asked.append(branch)
        raise RateLimited("slowly", retry_after_s=3600)

    monkeypatch.setattr(_Looked, "moved", refuses)
    watched.host.heads.update(main=sha("a"), other=sha("0"))
    await watched.look()
    assert asked == ["main"]


async def test_what_is_not_watched_any_more_is_forgotten(watched: Watched) -> None:
    await watched.look()
    await watched.rig.config(CONFIG.replace(", auto: {branch: main, after: push}", ""))
    watched.it.commit("a")
    await watched.look()
    await watched.rig.config(CONFIG)
    watched.it.commit("b")
    await watched.look()
    assert await watched.it.states() == [], "what happened meanwhile is history"
    watched.it.commit("c")
    await watched.look()
    assert await watched.it.states() == [("c", "queued")]


async def test_who_drops_one_of_two_spellings_of_a_repository_loses_no_push(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(name: str) -> list[Repository]:
        return [REPOSITORY]

    monkeypatch.setattr(watched.host, "find_repository", find)
    other = CONFIG.replace("hello:", "twin:").replace("acme/hello", "acme/Hello")
    await watched.rig.config(CONFIG + other)
    await watched.look()
    for letter, left in (("a", other), ("b", CONFIG)):
        watched.it.commit(letter)
        await watched.rig.config(left)
        await watched.look()
        await watched.rig.config(CONFIG + other)
        await watched.look()
    assert sorted(await watched.it.states()) == [("a", "queued"), ("b", "queued")]


async def test_hosts_that_tell_are_not_looked_at(rig: Rig) -> None:
    await rig.config(CONFIG)
    assert await Poller().poll_due(rig.ctx) == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def hang(watched: Watched, *names: str) -> Hanging:
    """Apps of these names are at a host that hangs."""
    host = Hanging(parents={})
    watched.rig.ctx.providers = {"github": watched.host, "tests.protocol.test_polling:Hanging": host}
    await watched.rig.config(CONFIG + "".join(OTHER.format(name=name) for name in names))
    return host


async def test_hosts_that_hang_keep_no_other_waiting(watched: Watched) -> None:
    hanging = await hang(watched, "a", "b", "c", "d", "e")
    async with asyncio.TaskGroup() as group:
        assert await watched.poller.begin(watched.rig.ctx, group) == 6
        await until(lambda: watched.host.looks == 1 and len(hanging.hung) == polling.AT_ONCE)
        for looks in (2, 3):
            await until(lambda: bool(watched.poller.watched["github acme/hello"].due_at > watched.rig.clock[0]))
            watched.rig.clock[0] += 20_000
            assert await watched.poller.begin(watched.rig.ctx, group) == 1, "the others are under way still"
            await until(lambda looks=looks: watched.host.looks == looks)  # type: ignore[misc]
        hanging.let.set()
    assert sorted(hanging.hung) == [f"acme/{name}" for name in "abcde"]


async def test_who_takes_too_long_is_given_up_and_asked_more_seldom(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "LIMIT_S", 0.01)
    await hang(watched, "a")
    for after_s, failures in ((20, 1), (29, 1), (30, 2)):
        await watched.look(after_s)
        assert watched.poller.watched["tests.protocol.test_polling:Hanging acme/a"].failures == failures


async def test_a_host_that_cancels_what_it_was_asked_for_has_failed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.look()
    watched.it.commit("a")
    with monkeypatch.context() as broken:

        async def heads(_: _Looked) -> Mapping[str, str]:
            watched.host.looks += 1
            raise asyncio.CancelledError

        broken.setattr(_Looked, "heads", heads)
        await watched.look()
        await watched.look(1)
        assert watched.host.looks == 2
    await watched.look(60)
    assert await watched.it.states() == [("a", "queued")]


async def test_what_is_looked_at_still_is_forgotten_once_that_is_done(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, let, heads = asyncio.Event(), asyncio.Event(), _Looked.heads

    async def slowly(host: _Looked) -> Mapping[str, str]:
        going.set()
        await let.wait()
        return await heads(host)

    monkeypatch.setattr(_Looked, "heads", slowly)
    async with asyncio.TaskGroup() as group:
        await watched.poller.begin(watched.rig.ctx, group)
        await going.wait()
        await watched.rig.config(CONFIG.replace(", auto: {branch: main, after: push}", ""))
        await watched.poller.begin(watched.rig.ctx, group)
        let.set()
    assert await watched.rig.ctx.stores.main.read(polled.oldest) is not None
    await watched.look()
    assert await watched.rig.ctx.stores.main.read(polled.oldest) is None
