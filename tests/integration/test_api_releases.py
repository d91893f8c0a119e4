"""Release state through HTTP: what is live, what lies between, where a commit is. On SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from ghapp.core.values import Lock
from ghapp.service import acting
from ghapp.store import places
from ghapp.store.deploys import Deploy
from ghapp.store.stores import Stores
from tests.integration.commit_graph import AWAY, Commits, sha
from tests.integration.kedge_world import BEARER, World, world


@pytest.fixture
def github() -> Commits:
    """a - b - c - d on main, and e beside them on a branch from b."""
    made = Commits()
    made.grow("abcd")
    made.grow("e", base="b", branch="feature/e")
    return made


@pytest.fixture
async def kedge(stores: Stores, github: Commits) -> AsyncIterator[World]:
    async with world(stores) as made:
        made.ctx.providers = {"github": github}
        yield made


async def get(kedge: World, path: str, status: int = 200) -> Any:
    async with kedge.client.get(f"/api/0{path}", headers=BEARER) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def live(kedge: World, letter: str, environment: str = "production", **asked: object) -> Deploy:
    """Deploy a commit to its end."""
    running = await kedge.running(sha=sha(letter), environment=environment, **asked)
    return await kedge.finish(running)


async def where(kedge: World, name: str, environment: str = "production") -> dict[str, Any]:
    found = await get(kedge, f"/shop/commits/{quote(name, safe='')}")
    return next(one for one in found["environments"] if one["environment"] == environment)


# What is live


async def test_what_is_live_since_when_by_whom_from_which_deploy(kedge: World) -> None:
    deploy = await live(kedge, "a", user="ana")
    staging, production = (await get(kedge, "/shop"))["environments"]
    assert (staging["live"], staging["live_since"]) == (None, None)
    assert production["live_since"] == production["live"]["ended_at"] == "2026-11-23T14:00:03.000Z"
    assert (production["live"]["user"], production["live"]["number"]) == ("ana", deploy.number)
    await kedge.finish(await kedge.running(sha=sha("b")), 1)
    assert (await get(kedge, "/shop"))["environments"][1]["live"]["sha"] == sha("a"), "a failed one is not live"
    await live(kedge, "b", task="rollback", config=kedge.ctx.apps.configs["shop"].environments[1].for_rollback())
    assert (await get(kedge, "/shop"))["environments"][1]["live"]["sha"] == sha("b")


# The difference


async def test_between_live_and_the_default_branch(kedge: World) -> None:
    await live(kedge, "b")
    assert await get(kedge, "/shop/compare?env=production") == {
        "from": {"name": "shop#1", "sha": sha("b"), "number": 1},
        "to": {"name": "main", "sha": sha("d"), "number": None},
        "status": "ahead",
        "ahead_by": 2,
        "behind_by": 0,
        "commits": [
            {
                "sha": sha(letter),
                "message": f"Change {letter}",
                "author": "bob",
                "committed_at": "2026-11-23T13:59:00.000Z",
                "url": f"https://github.com/acme/shop/commit/{sha(letter)}",
            }
            for letter in "cd"
        ],
        "url": f"https://github.com/acme/shop/compare/{sha('b')}...{sha('d')}",
    }


@pytest.mark.parametrize(
    ("query", "status", "letters"),
    [
        ("from=1&to=2", "ahead", "bc"),
        ("from=%231&to=shop%232", "ahead", "bc"),
        ("from=2&to=1", "behind", ""),
        ("from=1&to=1", "identical", ""),
        ("to=feature/e", "diverged", "e"),
        ("env=production&to=2", "identical", ""),
        (f"from={sha('a')}&to=bbbbbbb", "ahead", "b"),
        ("from=BBBBBBB", "ahead", "cd"),
    ],
)
async def test_between_deploys_refs_and_shas(kedge: World, query: str, status: str, letters: str) -> None:
    await live(kedge, "a")
    await live(kedge, "c")
    found = await get(kedge, f"/shop/compare?{query}")
    assert (found["status"], [one["sha"] for one in found["commits"]]) == (status, [sha(one) for one in letters])
    assert found["ahead_by"] == len(letters)


async def test_a_number_that_no_deploy_has_may_be_a_sha(kedge: World, github: Commits) -> None:
    github.parents["1234567" + "8" * 33] = ()
    await live(kedge, "a")
    found = await get(kedge, "/shop/compare?from=1234567&to=12345678")
    assert found["from"] == {"name": "1234567", "sha": "1234567" + "8" * 33, "number": None}


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("from=7", "from", "shop has no deploy 7."),
        ("from=1&to=%237", "to", "shop has no deploy 7."),
        ("from=nothing", "from", "There is no commit nothing in the repository."),
        ("from=1&to=..%2F..", "to", "There is no commit ../.. in the repository."),
        ("from=1&to=main...main", "to", "There is no commit main...main"),
        ("env=staging", "from", "Nothing is live in staging yet"),
        ("from=%00", "from", "printable"),
        ("to=%E2%80%AE", "to", "printable"),
        (f"to={'a' * 256}", "to", "255"),
        ("from=", "from", "1"),
        ("frm=1", "frm", "Did you mean from?"),
    ],
)
async def test_what_cannot_be_compared_is_named(kedge: World, query: str, field: str, sentence: str) -> None:
    await live(kedge, "a")
    error = (await get(kedge, f"/shop/compare?{query}", 422))["error"]
    assert (error["code"], error["field"]) == ("invalid", field)
    assert sentence in error["message"]


async def test_a_commit_that_is_gone_is_not_compared(kedge: World) -> None:
    await kedge.finish(await kedge.running())  # its sha was never in the graph
    error = (await get(kedge, "/shop/compare?from=1", 422))["error"]
    assert error["message"].startswith("shop#1 and main cannot be compared")


async def test_compare_without_the_provider_says_so(kedge: World, github: Commits) -> None:
    await live(kedge, "a")
    github.away = AWAY
    error = (await get(kedge, "/shop/compare", 502))["error"]
    assert (error["code"], error["message"]) == ("provider", AWAY.message)


@pytest.mark.parametrize("path", ["/shp/compare", "/shop/compare?env=prodction", "/shp/commits/abcdef1"])
async def test_unknown_names_are_answered_with_the_nearest(kedge: World, path: str) -> None:
    assert "Did you mean" in (await get(kedge, path, 404))["error"]["message"]


# Where a commit is


async def test_where_a_commit_is_in_words(kedge: World) -> None:
    await live(kedge, "c", "staging")
    await live(kedge, "a", user="ana")
    await kedge.ask(sha=sha("d"))
    row = next(one for one in await kedge.ctx.stores.main.read(places.environments) if one.name == "production")
    lock = Lock("ana", "inventory", kedge.now[0], app="shop", environment="production")
    await kedge.ctx.decide(lambda tx: acting.lock(tx, kedge.ctx, row.app_id, row.id, lock))
    found = await get(kedge, f"/shop/commits/{sha('b')}")
    assert found["message"] == (
        "Committed Nov 23, 13:59 UTC, staging since Nov 23, 14:00 UTC, "
        "production waiting: production is locked by ana since Nov 23, 14:00 UTC: inventory."
    )
    assert (found["app"], found["sha"], found["problem"]) == ("shop", sha("b"), None)
    assert found["commit"]["message"] == "Change b"
    staging, production = found["environments"]
    assert staging == {
        "environment": "staging",
        "state": "live",
        "number": 1,
        "sha": sha("c"),
        "user": "alice",
        "since": "2026-11-23T14:00:03.000Z",
        "until": None,
        "ended_by": None,
        "blockers": [],
        "exact": True,
    }
    assert (production["state"], production["number"]) == ("waiting", 3)
    assert [one["kind"] for one in production["blockers"]] == ["lock"]


async def test_the_first_deploy_that_has_it_brought_it(kedge: World) -> None:
    for letter in "abccd":
        await live(kedge, letter)
    found = await where(kedge, sha("c"))
    assert (found["state"], found["number"], found["exact"]) == ("live", 3, True)
    assert (await where(kedge, "main"))["number"] == 5
    assert (await where(kedge, "ddddddd"))["number"] == 5
    assert (await where(kedge, "feature/e"))["state"] == "never"


async def test_it_runs_and_it_waits(kedge: World) -> None:
    await live(kedge, "a")
    running = await kedge.running(sha=sha("b"))
    await kedge.ask(sha=sha("d"))
    assert (await where(kedge, sha("b")))["state"] == "running"
    found = await where(kedge, sha("c"))
    assert (found["state"], found["number"]) == ("waiting", 3)
    assert found["blockers"][0]["kind"] == "turn"
    await kedge.finish(running, 1)
    assert (await where(kedge, sha("b")))["state"] == "waiting", "the failed one is no release, the next contains it"


async def test_it_was_live_and_is_no_more(kedge: World) -> None:
    await live(kedge, "e")
    await live(kedge, "c", user="ana")
    found = await where(kedge, sha("e"))
    assert (found["state"], found["number"], found["ended_by"]) == ("was_live", 1, "ana")
    assert (found["since"], found["until"]) == ("2026-11-23T14:00:03.000Z", "2026-11-23T14:00:06.000Z")
    rolled = kedge.ctx.apps.configs["shop"].environments[1].for_rollback()
    await live(kedge, "a", user="ana", task="rollback", config=rolled)
    found = await where(kedge, sha("c"))
    assert (found["state"], found["number"], found["ended_by"]) == ("rolled_back", 2, "ana")
    text = (await get(kedge, f"/shop/commits/{sha('c')}"))["message"]
    assert text.endswith("staging never, production rolled back Nov 23, 14:00 UTC by ana.")
    assert (await where(kedge, sha("b")))["state"] == "rolled_back"
    assert (await where(kedge, sha("a")))["state"] == "live"


async def test_what_was_asked_of_the_provider_once_is_remembered(kedge: World, github: Commits) -> None:
    for letter in "abcd":
        await live(kedge, letter)
    first = await where(kedge, sha("b"))
    asked = github.asked
    assert 0 < asked <= 4
    assert await where(kedge, sha("b")) == first
    assert github.asked == asked


async def test_a_long_history_is_looked_at_only_so_far(kedge: World, github: Commits) -> None:
    shas = [f"{number:x}" * 40 for number in range(1, 15)]
    for before, one in zip(["", *shas], shas, strict=False):
        github.parents[one] = (before,) if before else ()
        await kedge.finish(await kedge.running(sha=one))
    github.refs["main"] = shas[-1]
    found = await get(kedge, f"/shop/commits/{shas[0]}")
    production = found["environments"][1]
    assert (production["state"], production["exact"]) == ("live", False)
    assert "or earlier" in found["message"]
    assert github.asked <= 13


# Without the provider


async def test_without_the_provider_exact_shas_are_known(kedge: World, github: Commits) -> None:
    await live(kedge, "a")
    await live(kedge, "c", "staging")
    github.away = AWAY
    found = await get(kedge, "/shop/commits/aaaaaaa")
    assert (found["sha"], found["commit"]) == (sha("a"), None)
    assert found["problem"].endswith(AWAY.message)
    staging, production = found["environments"]
    assert (production["state"], production["exact"]) == ("live", False)
    assert (staging["state"], staging["exact"]) == ("never", False)
    assert "staging not as far as is known" in found["message"]
    assert (await get(kedge, f"/shop/commits/{sha('f')}"))["environments"][0]["state"] == "never"


async def test_without_the_provider_a_ref_cannot_be_looked_up(kedge: World, github: Commits) -> None:
    await live(kedge, "a")
    github.away = AWAY
    for name in ("main", "abcdef1"):
        assert (await get(kedge, f"/shop/commits/{name}", 502))["error"]["message"] == AWAY.message


async def test_it_goes_away_in_between(kedge: World, github: Commits) -> None:
    await live(kedge, "a")
    await live(kedge, "b")
    compare = github.compare

    async def once(base: str, head: str) -> Any:
        github.away = AWAY
        return await compare(base, head)

    github.compare = once  # type: ignore[method-assign]
    found = await get(kedge, f"/shop/commits/{sha('a')}")
    assert found["problem"] and found["commit"]
    assert found["environments"][1]["state"] == "was_live"
    assert not found["environments"][1]["exact"]


async def test_a_deployed_commit_that_the_repository_has_lost_is_still_known(kedge: World) -> None:
    lost = await kedge.finish(await kedge.running())
    found = await get(kedge, f"/shop/commits/{lost.sha}")
    assert (found["environments"][1]["state"], found["commit"]) == ("live", None)


@pytest.mark.parametrize(
    "name", [sha("9"), "zzzzzz", "%2E%2E", "%00", "x" * 300, "refs%2Fheads%2Fnothing", "%F0%9F%92%A5", "%ED%A0%80"]
)
async def test_what_is_no_commit_is_not_found(kedge: World, name: str) -> None:
    await kedge.finish(await kedge.running())
    error = (await get(kedge, f"/shop/commits/{name}", 404))["error"]
    assert error["code"] == "not_found"
