"""Recorded deliveries of every kind, signed, at the real door, and worked off: none is refused or leaves a traceback.

One of them asks for a deploy of a repository that has an app here, so that what is heard is truly acted on.
"""

import hashlib
import hmac
import json
import lzma
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ghapp.api.common import CONTEXT
from ghapp.core.values import Repository
from ghapp.store.stores import open_stores
from ghapp.webhooks import receive, work
from tests.protocol.rig import CONFIG, WEBHOOK_SECRET, rig_on

RECORDED = Path(__file__).parents[1] / "data" / "github" / "octokit-webhooks-examples.json.xz"
HELLO_WORLD = Repository(186853002, "Codertocat/Hello-World", "https://github.com/Codertocat/Hello-World.git")


def recorded() -> list[tuple[str, dict[str, Any]]]:
    kinds = json.loads(lzma.decompress(RECORDED.read_bytes()))
    return [(kind["event"], payload) for kind in kinds for payload in kind["payloads"]]


async def test_every_recorded_kind_is_taken_in_and_worked_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deliveries = recorded()
    assert len({(event, payload.get("action")) for event, payload in deliveries}) >= 105
    stores = await open_stores(f"sqlite:///{tmp_path / 'kedge.sqlite'}")
    async with rig_on(stores) as rig:
        rig.provider.repositories = [HELLO_WORLD]
        rig.provider.owner_login = None  # they are of several accounts
        await rig.config(CONFIG.replace("acme/hello", HELLO_WORLD.full_name))
        answers = await _post_all(rig.ctx, deliveries)
        assert answers == Counter({202: len(deliveries)})
        for _ in range(3):  # those that were postponed too
            rig.clock[0] += 600_000
            while await work.work_due(rig.ctx):
                pass

        async def ended(tx: Any) -> tuple[Counter[str], list[str], list[str]]:
            rows = await tx.all("SELECT guid, event, state, problem FROM deliveries")
            deployed = await tx.all("SELECT repository_id, deployment_id FROM deploys")
            problems = [f"{row['guid']} {row['event']}: {row['problem']}" for row in rows if row["problem"]]
            return Counter(row["state"] for row in rows), problems, [row["deployment_id"] for row in deployed]

        states, problems, deployed = await stores.main.read(ended)
    await stores.close()
    assert problems == []
    assert states.keys() == {"done", "ignored"} and states.total() == len(deliveries)
    assert deployed, "a recorded deployment became a deploy"
    assert "Traceback" not in capsys.readouterr().out


async def _post_all(ctx: Any, deliveries: list[tuple[str, dict[str, Any]]]) -> Counter[int]:
    """The statuses that the door answered with."""
    app = web.Application(client_max_size=receive.SIZE_LIMIT)
    app[CONTEXT] = ctx
    app.add_routes(receive.routes())
    answers: Counter[int] = Counter()
    async with TestClient(TestServer(app)) as client:
        for number, (event, payload) in enumerate(deliveries):
            body = json.dumps(payload).encode()
            digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
            headers = {
                "X-GitHub-Event": event,
                "X-GitHub-Delivery": f"recorded-{number}",
                "X-Hub-Signature-256": f"sha256={digest}",
            }
            async with client.post("/webhooks/github", data=body, headers=headers) as answer:
                answers[answer.status] += 1
    return answers
