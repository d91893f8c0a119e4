"""Writes what is owed to pull requests.

The comment of a deploy is made of how the deploy stands at the moment it is written, so that what happens in quick
succession is one edit.
"""

import msgspec

from ghapp.core.remote import RemoteError
from ghapp.notify import pull_request as notes
from ghapp.service import acting, told
from ghapp.service.attempts import Attempt, Fate, judge, retry_ms
from ghapp.service.context import Context
from ghapp.service.telling import EDIT_EVERY_MS, Reaction, Reply
from ghapp.store import comments, deploys, outbox
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.outbox import Notice
from ghapp.vcs.conversation import Conversation

#: How far the provider's clock may be behind ours where a lost comment is looked for.
SKEW_MS = 5 * 60_000


async def deliver(ctx: Context, conversation: Conversation | None, notice: Notice) -> Attempt:
    """Write what is owed; where an earlier answer was lost, look first whether it is there."""
    if conversation is None:
        await ctx.stores.main.write(
            lambda tx: outbox.end(tx, notice.id, "failed", "The provider has no conversations.")
        )
        return Attempt(Fate.REFUSED)
    taken = await ctx.stores.main.write(lambda tx: _take(tx, ctx, notice))
    if taken is None:
        return Attempt(Fate.SHOWN)
    written: tuple[int, int] | None = None
    try:
        written = await _write(ctx, conversation, taken)
        attempt = Attempt(Fate.SHOWN)
    except RemoteError as error:
        attempt = judge(error)
    await ctx.stores.main.write(lambda tx: _settle(tx, ctx, taken, attempt, written))
    return attempt


async def _take(tx: Tx, ctx: Context, notice: Notice) -> Notice | None:
    current = await outbox.get(tx, notice.id)
    if current is None or current.next_at > ctx.now():
        return None
    await outbox.doubt(tx, current.id)
    return current


async def _write(ctx: Context, conversation: Conversation, notice: Notice) -> tuple[int, int] | None:
    """Number of the pull request and id of the comment, where a deploy's was written. Raises RemoteError."""
    if notice.channel == outbox.REACTION:
        reaction = msgspec.json.decode(notice.body, type=Reaction)
        await conversation.react(reaction.comment_id, reaction.reaction)
        return None
    if notice.channel == outbox.ANSWER:
        reply = msgspec.json.decode(notice.body, type=Reply)
        await _once(conversation, notice, reply.number, reply.marker, reply.text)
        return None
    return await _write_progress(ctx, conversation, notice)


async def _write_progress(ctx: Context, conversation: Conversation, notice: Notice) -> tuple[int, int] | None:
    deploy_id = notice.deploy_id or 0

    async def load(tx: Tx) -> tuple[Deploy | None, comments.Telling | None]:
        return await deploys.get(tx, deploy_id), await comments.telling(tx, deploy_id)

    deploy, known = await ctx.stores.main.read(load)
    if deploy is None or known is None:
        return None
    number = known.number
    if number is None:
        found = await conversation.pull_requests_at(deploy.sha)
        if not found:
            await ctx.stores.main.write(lambda tx: comments.leave(tx, deploy_id))
            return None
        number = found[0].number
    _, facts = await told.progress(ctx, deploy, await told.shipped(ctx, deploy))
    text = notes.progress(facts)
    if known.comment_id is None:
        return number, await _once(conversation, notice, number, notes.deploy_marker(deploy.request), text)
    await conversation.edit(known.comment_id, text)
    return number, known.comment_id


async def _once(conversation: Conversation, notice: Notice, number: int, marker: str, text: str) -> int:
    """Write a comment, or find that an earlier attempt did."""
    if notice.unsure:
        found = await conversation.find(number, marker, notice.created_at - SKEW_MS)
        if found is not None:
            await conversation.edit(found, text)
            return found
    return await conversation.comment(number, text)


async def _settle(tx: Tx, ctx: Context, notice: Notice, attempt: Attempt, written: tuple[int, int] | None) -> None:
    """Save what came of it. What changed meanwhile is written next; who changes a deploy holds its environment."""
    if notice.deploy_id is not None:
        await acting.held(tx, notice.deploy_id)
    current = await outbox.get(tx, notice.id)
    if written and notice.deploy_id is not None:
        await comments.shown(tx, notice.deploy_id, *written, ctx.now())
    if current is None:
        return
    if attempt.fate is Fate.SHOWN and current.version != notice.version:
        await outbox.trust(tx, current.id)
        if not current.final:
            await outbox.put_off(tx, current.id, ctx.now() + EDIT_EVERY_MS)
    elif attempt.fate is Fate.SHOWN:
        await outbox.end(tx, current.id, "done")
    elif attempt.fate is Fate.REFUSED:
        await outbox.end(tx, current.id, "failed", attempt.problem)
        if notice.deploy_id is not None and notice.channel == outbox.COMMENT:
            await comments.leave(tx, notice.deploy_id)  # deleted, locked, not permitted: it will not be otherwise soon
    else:
        wait_ms = attempt.wait_ms if attempt.wait_ms is not None else retry_ms(notice.attempts)
        unsure = attempt.fate is Fate.UNSURE or notice.unsure
        await outbox.postpone(tx, current.id, ctx.now() + wait_ms, unsure=unsure, problem=attempt.problem)
