"""Comments on pull requests where something happens in the middle of something else, or the provider refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context as Fresh
from pathlib import Path

import pytest

from ghapp.sandbox.faults import Answer
from ghapp.store import comments
from ghapp.store.base import Tx
from tests.integration.comment_world import REPO, World, opened


@pytest.fixture
async def kedge(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    async with opened(tmp_path, database_url) as made:
        yield made


async def test_an_end_that_comes_while_an_edit_is_being_settled_is_told(
    kedge: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trace: what is owed is read, the deploy ends and owes more, and the notice is ended all the same."""
    said = await kedge.say("/deploy to staging")
    running = await kedge.start()
    ends: list[asyncio.Task[None]] = []
    shown = comments.shown

    async def ending(tx: Tx, deploy_id: int, number: int, comment_id: int, now: int) -> None:
        if not ends:
            ends.append(asyncio.create_task(kedge.finish(running), context=Fresh()))
            await asyncio.wait(ends, timeout=1)  # it may have to wait for this transaction
        await shown(tx, deploy_id, number, comment_id, now)

    monkeypatch.setattr(comments, "shown", ending)
    await kedge.later()
    await ends[0]
    await kedge.quiet()
    assert "Succeeded after" in said.answer


async def test_what_github_refuses_for_good_is_answered(kedge: World) -> None:
    """Without the permission to read checks it would be asked for ever, and nobody told."""
    refused = Answer(403, "Resource not accessible by integration")
    kedge.gh.faults.order("GET", rf"/repos/{REPO}/commits/[0-9a-f]+/check-runs.*", refused, None)
    said = await kedge.say("/deploy to staging")
    assert "not accessible" in said.answer
    assert said.reactions == ["eyes", "confused"]


async def test_github_is_left_alone_for_as_long_as_it_asks(kedge: World) -> None:
    limited = Answer(403, "You have exceeded a secondary rate limit", {"retry-after": "60"})
    fault = kedge.gh.faults.order("GET", rf"/repos/{REPO}/commits/[0-9a-f]+/check-runs.*", limited, None)
    await kedge.say("/deploy to staging")
    assert fault.hits == 1
    kedge.pass_s(30)
    await kedge.quiet()
    assert fault.hits == 1
