"""Deliveries of accounts that do not count are stored as ignored, by whichever name they come."""

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ghapp.api.common import CONTEXT
from ghapp.core.remote import Unavailable
from ghapp.service import permits, reload
from ghapp.service.problems import Problem
from ghapp.store.stores import open_stores
from ghapp.webhooks import receive, work
from tests.protocol.rig import CONFIG, REPOSITORY, WEBHOOK_SECRET, Rig, rig_on

DATA = Path(__file__).parents[1] / "data" / "github"


def of(account: str, name: str = "deployment") -> dict[str, Any]:
    """A recorded delivery, as if of that account."""
    payload: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    if "repository" in payload:
        payload["repository"].update(full_name=f"{account}/hello", name="hello")
    else:
        payload["installation"]["account"]["login"] = account
    return payload


async def states(rig: Rig, *deliveries: tuple[str, dict[str, Any]]) -> list[tuple[str, str | None, bool]]:
    """Through the HTTP door and the worker: state, problem, and whether the body is kept."""
    app = web.Application()
    app[CONTEXT] = rig.ctx
    app.add_routes(receive.routes())
    async with TestClient(TestServer(app)) as client:
        for number, (event, payload) in enumerate(deliveries):
            body = json.dumps(payload).encode()
            digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
            about = {"X-GitHub-Delivery": f"d{number}", "X-GitHub-Event": event}
            headers = {**about, "X-Hub-Signature-256": f"sha256={digest}"}
            async with client.post("/webhooks/github", data=body, headers=headers) as answer:
                assert answer.status == 202, "signed, so it is stored"
    return await worked(rig)


async def worked(rig: Rig) -> list[tuple[str, str | None, bool]]:
    await work.work_due(rig.ctx)
    rows = await rig.ctx.stores.main.read(lambda tx: tx.all("SELECT * FROM deliveries ORDER BY id"))
    return [(row["state"], row["problem"], row["body"] is not None) for row in rows]


@pytest.fixture
async def rig(tmp_path: Path) -> Any:
    stores = await open_stores(f"sqlite:///{tmp_path / 'kedge.sqlite'}")
    async with rig_on(stores) as made:
        yield made
    await stores.close()


async def test_the_owner_of_the_app_counts_and_nobody_else(rig: Rig) -> None:
    own, foreign, installed = await states(
        rig,
        ("deployment", of("ACME")),
        ("deployment", of("evil")),
        ("installation", of("evil", "installation_created")),
    )
    assert own[:2] == ("done", None), "however its name is written"
    assert foreign == ("ignored", "This comes from evil; what counts comes from acme (KEDGE_ACCOUNTS).", False)
    assert installed[0] == "ignored" and "evil" in str(installed[1])


async def test_the_accounts_that_are_named_count_instead(rig: Rig) -> None:
    rig.ctx.accounts = ("Octo", "getsentry")
    first, second = await states(rig, ("installation", of("octo", "installation_created")), ("deployment", of("acme")))
    assert first[0] == "done"
    assert second[1] == "This comes from acme; what counts comes from Octo and getsentry (KEDGE_ACCOUNTS)."


async def test_a_repository_that_was_transferred_counts_by_its_new_owner(rig: Rig) -> None:
    await rig.deployment()
    payload = of("evil")
    payload["repository"]["id"] = 7
    [moved] = await states(rig, ("deployment", payload))
    assert moved[0] == "ignored", "although an app is bound to it"


async def test_a_repository_of_that_name_elsewhere_is_not_the_app_s(rig: Rig) -> None:
    await reload.put_in_force(rig.ctx, CONFIG.replace("  repository: acme/hello\n", ""))
    elsewhere = replace(REPOSITORY, id=99, full_name="evil/hello")
    rig.provider.repositories.append(elsewhere)
    app = rig.ctx.apps.configs["hello"]
    assert await permits.repository_of(rig.ctx, app) == REPOSITORY
    payload = of("acme")
    payload["repository"]["id"] = REPOSITORY.id
    [own] = await states(rig, ("deployment", payload))
    assert own[0] == "done", "a stranger's repository of the same name keeps nobody waiting"


async def test_without_the_app_s_own_repository_that_of_a_stranger_does_not_stand_in(rig: Rig) -> None:
    await reload.put_in_force(rig.ctx, CONFIG.replace("  repository: acme/hello\n", ""))
    rig.provider.repositories[:] = [replace(REPOSITORY, id=99, full_name="evil/hello")]
    with pytest.raises(Problem, match="hello"):
        await permits.repository_of(rig.ctx, rig.ctx.apps.configs["hello"])


async def test_while_the_owner_cannot_be_asked_for_nothing_is_ignored(rig: Rig) -> None:
    rig.provider.owner_problem = Unavailable("GitHub cannot be reached.")
    [waiting] = await states(rig, ("installation", of("acme", "installation_created")))
    assert (waiting[0], waiting[2]) == ("waiting", True)
    rig.provider.owner_problem = None
    rig.clock[0] += 600_000
    assert [row[0] for row in await worked(rig)] == ["done"]


async def test_an_app_of_an_enterprise_belongs_to_no_account(rig: Rig) -> None:
    rig.provider.owner_login = None
    [heard] = await states(rig, ("installation", of("anybody", "installation_created")))
    assert heard[0] == "done"
