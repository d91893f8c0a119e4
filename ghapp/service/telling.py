"""What is said on pull requests, owed through the outbox: one comment for each deploy, which follows it; answers;
reactions. `speaking` writes them.
"""

import msgspec

from ghapp.core.values import State
from ghapp.service.context import Context
from ghapp.store import comments, deploys, outbox
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy

CHANNELS = frozenset({outbox.COMMENT, outbox.ANSWER, outbox.REACTION})
#: Between two edits of one comment, but for the last: GitHub asks for a second between writes, and limits what creates
#: content to 80 a minute: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
EDIT_EVERY_MS = 10_000

EYES, ROCKET, CONFUSED = "eyes", "rocket", "confused"


class Reply(msgspec.Struct, frozen=True):
    """A comment that is to be written once, found again by its ``marker``."""

    number: int
    marker: str
    text: str


class Reaction(msgspec.Struct, frozen=True):
    comment_id: int
    reaction: str


async def follow(tx: Tx, ctx: Context, deploy: Deploy, number: int | None, asked_in: int | None = None) -> None:
    """Tell of the deploy on a pull request from now on; None: on the one whose head it is, if there is one."""
    await comments.follow(tx, deploy.id, number, asked_in)
    await changed(tx, ctx, deploy.id, deploy.state)


async def changed(tx: Tx, ctx: Context, deploy_id: int, state: State) -> None:
    """A deploy stands otherwise than before: who follows it is owed an edit, soon, and at once where it ended."""
    known = await comments.telling(tx, deploy_id)
    deploy = await deploys.get(tx, deploy_id) if known else None
    if known is None or deploy is None:
        return
    now = ctx.now()
    soon = now if state.terminal or known.shown_at is None else max(now, known.shown_at + EDIT_EVERY_MS)
    await _put(tx, outbox.COMMENT, deploy.repository_id, None, now, deploy=deploy, final=state.terminal, next_at=soon)
    if state.terminal and known.asked_in is not None:
        what = Reaction(known.asked_in, ROCKET if state is State.SUCCEEDED else CONFUSED)
        await _put(tx, outbox.REACTION, deploy.repository_id, what, now, deploy=deploy)


async def react(tx: Tx, ctx: Context, repository_id: int, comment_id: int, reaction: str) -> None:
    await _put(tx, outbox.REACTION, repository_id, Reaction(comment_id, reaction), ctx.now())


async def reply(tx: Tx, ctx: Context, repository_id: int, number: int, marker: str, text: str) -> None:
    await _put(tx, outbox.ANSWER, repository_id, Reply(number, marker, text), ctx.now())


async def _put(
    tx: Tx,
    channel: str,
    repository_id: int,
    wanted: object,
    now: int,
    *,
    deploy: Deploy | None = None,
    final: bool = False,
    next_at: int | None = None,
) -> None:
    await outbox.put(
        tx,
        channel=channel,
        deploy_id=deploy.id if deploy else None,
        repository_id=repository_id,
        deployment_id=0,
        wanted=wanted,
        final=final,
        now=now,
        next_at=now if next_at is None else next_at,
    )
