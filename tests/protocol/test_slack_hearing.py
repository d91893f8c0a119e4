"""What is asked in Slack, and what is answered where a code host cannot be asked."""

import asyncio
import itertools
import json
from functools import partial

import msgspec
import pytest

from ghapp.channels.slack_socket import Envelope
from ghapp.core.remote import Unavailable
from ghapp.core.values import Repository
from ghapp.service import slack_hearing
from ghapp.service.slack_answers import Owed
from ghapp.webhooks import work
from tests.protocol.rig import MemoryProvider, Rig
from tests.protocol.slack_memory import MemorySlack

BOTH = """
hello: {via: github, repository: acme/hello, deploy: ./d, environments: {staging: {}}}
legacy: {via: git, repository: acme/legacy, deploy: ./d, environments: {staging: {}}}
"""
AWAY = "git cannot be asked now"
LEGACY = Repository(8, "acme/legacy", "https://git.test/acme/legacy.git", "main")
_serial = itertools.count(1)


async def ask(rig: Rig, text: str | None = None, *, press: tuple[str, str] | None = None) -> list[str]:
    """What is answered, line by line."""
    command = {"user_id": "U0000ANA", "channel_id": "C0DEPLOYS", "response_url": "u", "text": text or ""}
    pressed = {
        "type": "block_actions",
        "user": {"id": "U0000ANA"},
        "channel": {"id": "C0DEPLOYS"},
        "actions": [{"action_id": f"kedge:{press[0]}", "value": press[1]}] if press else [],
        "response_url": "u",
    }
    kind, payload = ("interactive", pressed) if press else ("slash_commands", command)
    key = f"envelope-{next(_serial)}"
    await slack_hearing.take(rig.ctx, Envelope(key, kind, json.dumps(payload).encode()))
    await work.serve_due(rig.ctx, "slack", partial(slack_hearing.prepare, MemorySlack()))
    owed = await rig.ctx.stores.main.read(lambda tx: tx.one("SELECT body FROM messages WHERE key = :key", key=key))
    assert owed
    return [line for block in msgspec.json.decode(owed["body"], type=Owed).body.blocks for line in _lines(block)]


def _lines(block: dict[str, dict[str, str]]) -> list[str]:
    return block["text"]["text"].splitlines()


class Away(MemoryProvider):
    """A host that says that it cannot say."""

    async def permission(self, user: str) -> str:
        raise Unavailable("The attic is locked.")


class Silent(MemoryProvider):
    """A host that never answers."""

    async def permission(self, user: str) -> str:
        await asyncio.Event().wait()
        return "none"


@pytest.fixture(params=[Away, Silent])
async def both(rig: Rig, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Two apps, of which one is where nobody can be asked."""
    monkeypatch.setattr(slack_hearing, "PATIENCE_S", 0.1)
    rig.ctx.providers = {**rig.ctx.providers, "git": request.param(repositories=[LEGACY])}
    await rig.config(BOTH)
    return rig


async def test_what_the_other_host_has_goes_on(both: Rig) -> None:
    assert "hello#1 to staging" in (await ask(both, "deploy hello to staging main"))[0]
    assert await ask(both, "cancel hello#1") == ["hello#1 is cancelled."]
    assert "hello#2 to staging" in (await ask(both, press=("retry", "hello#1")))[0]
    assert not any(AWAY in line for line in await ask(both, "status hello"))


@pytest.mark.parametrize("text", ["", "status", "queue", "queue legacy", "why", "cancel legacy#3", "status legacy"])
async def test_what_may_be_missing_is_said(both: Rig, text: str) -> None:
    said = await ask(both, text)
    assert len(said) > 1 and any(AWAY in line for line in said)


@pytest.mark.parametrize("text", ["deploy legacy to staging", "lock legacy staging", "deploy to staging"])
async def test_nothing_is_done_that_may_be_about_what_is_missing(both: Rig, text: str) -> None:
    (said,) = await ask(both, text)
    assert AWAY in said
    assert await both.ctx.stores.main.read(lambda tx: tx.all("SELECT id FROM deploys")) == []
    assert await both.ctx.stores.main.read(lambda tx: tx.all("SELECT id FROM locks")) == []


@pytest.mark.parametrize("press", [("cancel", "legacy#1"), ("unlock", "legacy/staging")])
async def test_a_button_of_what_is_missing(both: Rig, press: tuple[str, str]) -> None:
    (said,) = await ask(both, press=press)
    assert AWAY in said


async def test_nobody_can_be_asked(both: Rig) -> None:
    both.ctx.providers["github"].permission_problem = Unavailable("away")  # type: ignore[attr-defined]
    for text in ("status", "deploy hello to staging"):
        (said,) = await ask(both, text)
        assert "git and github cannot be asked now" in said
