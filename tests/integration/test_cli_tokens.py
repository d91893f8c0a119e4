"""``kedge token`` against the API itself."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from ghapp.store.stores import Stores
from tests.integration.command_line import Done, kedge
from tests.integration.kedge_world import ADMIN_TOKEN, World
from tests.integration.token_calls import call, pushing


@pytest.fixture
async def world(stores: Stores) -> AsyncIterator[World]:
    with capture_logs():  # the app's, which runs in the same process, would go to the command's stdout
        async with pushing(stores) as made:
            yield made


async def run(world: World, *words: str, token: str = ADMIN_TOKEN) -> Done:
    url = str(world.client.make_url("/")).rstrip("/")
    return await kedge(url, "token", *words, KEDGE_TOKEN=token)


async def test_a_token_from_creation_to_its_end(world: World) -> None:
    wish = ("--owner", "ana", "--scope", "read", "--scope", "deploy", "--app", "shop", "--env", "staging")
    made = await run(world, "create", "ci", *wish, "--expires", "90d", "--no-json")
    assert made.code == 0 and "not shown again" in made.err
    secret = made.out.strip()
    assert secret.startswith("kedge_") and (await call(world, "GET", "/api/0/shop", secret)).status == 200
    listed = await run(world, "list", "--no-json")
    assert listed.code == 0 and secret not in listed.out
    for word in ("ci", "ana", "read and deploy", "shop in staging", "2027-02-21"):
        assert word in listed.out
    revoked = await run(world, "revoke", "1", "--no-json")
    assert (revoked.code, revoked.out) == (0, "Token 1 is revoked.\n")
    assert (await call(world, "GET", "/api/0/shop", secret)).status == 401
    assert "revoked" in (await run(world, "list", "--no-json")).out


async def test_where_no_terminal_is_the_answer_is_json(world: World) -> None:
    made = await run(world, "create", "runner", "--owner", "ana", "--scope", "runner", "--label", "eu")
    assert made.json["labels"] == ["eu"] and made.json["token"].startswith("kedge_")
    listed = await run(world, "list")
    assert [one["name"] for one in listed.json["items"]] == ["runner"] and "token" not in listed.json["items"][0]
    assert (await run(world, "revoke", "1")).json is None


async def test_all_pages_are_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghapp.cli.tokens.PAGE", "1")
    for name in ("one", "two", "three"):
        await run(world, "create", name, "--owner", "ana", "--scope", "read")
    assert [one["name"] for one in (await run(world, "list")).json["items"]] == ["three", "two", "one"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "ci", "--owner", "ana", "--scope", "deply"), 1, "Did you mean deploy?"),
        (("create", "ci", "--owner", "ana", "--scope", "read", "--app", "shp"), 1, "Did you mean shop?"),
        (("create", "ci", "--owner", "ana"), 2, "--scope"),
        (("create", "ci", "--owner", "ana", "--scope", "read", "--expires", "soon"), 1, "90d"),
        (("revoke", "7"), 1, "There is no token 7."),
        (("revoke", "x"), 2, "a number is needed"),
        (("lst",), 2, "Did you mean list?"),
        ((), 2, "ACTION"),
    ],
)
async def test_refusals(world: World, words: tuple[str, ...], code: int, said: str) -> None:
    done = await run(world, *words)
    assert done.code == code and said in done.err, done.err


async def test_only_admins(world: World) -> None:
    made = await run(world, "create", "ci", "--owner", "ana", "--scope", "read")
    done = await run(world, "list", token=made.json["token"])
    assert done.code == 1 and "scope admin" in done.err
