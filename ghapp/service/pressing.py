"""Buttons, at whichever door they are pressed: each is a command about what it stands beside.

What it says is checked against what is so now: a message may be old when somebody presses it.
"""

import re

from ghapp.core import answers, chat, sentences
from ghapp.core.actors import Actor
from ghapp.core.answers import Action, Answer, said
from ghapp.core.values import BlockerKind
from ghapp.service import chatting, commanding, seeing
from ghapp.service.chatting import Place
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import deploys
from ghapp.store.deploys import Deploy

_DEPLOY = re.compile(r"([^#/]+)#([0-9]{1,18})")
_ENVIRONMENT = re.compile(r"([^#/]+)/([^#/]+)")


async def carry_out(ctx: Context, actor: Actor, action: Action, value: str, place: Place) -> Answer:
    """``value``: ``app#number``, or ``app/environment`` for an unlock. Raises ValueError for another one, and Problem
    ``provider`` where it may work later."""
    form = _ENVIRONMENT if action is Action.UNLOCK else _DEPLOY
    match = form.fullmatch(value)
    if not match:
        raise ValueError(f"This button says nothing that Kedge knows: {value[:60]}.")
    if action is Action.UNLOCK:
        return await chatting.carry_out(ctx, actor, chat.Unlock(app=match[1], environment=match[2]), place)
    app, number = match[1], int(match[2])
    try:
        deploy = (await ctx.stores.main.read(lambda tx: seeing.deploy(tx, ctx, app, number, actor))).deploy
        if action is Action.RETRY:
            return await _retry(ctx, actor, deploy, place)
    except Problem as problem:
        if problem.code in {"provider", "unavailable"}:
            raise
        return said(problem.message, done=False)
    if action is Action.ROLLBACK:
        live = await ctx.stores.main.read(lambda tx: deploys.live(tx, deploy.environment_id))
        if live is None or live.id != deploy.id:
            return said(answers.not_live_any_more(deploy.name, deploy.environment, live.name if live else None))
    return await chatting.carry_out(ctx, actor, _command(action, deploy), place)


def _command(action: Action, deploy: Deploy) -> chat.Command:
    if action is Action.ROLLBACK:
        return chat.Rollback(app=deploy.app, environment=deploy.environment)
    if action is Action.FORCE:
        return chat.Force(app=deploy.app, number=deploy.number, what=_held_by(deploy))
    return chat.Cancel(app=deploy.app, number=deploy.number)


def _held_by(deploy: Deploy) -> str:
    """What it has to pass now."""
    kinds = {blocker.kind for blocker in deploy.blockers}
    if BlockerKind.LOCK in kinds:
        return "all" if BlockerKind.CHECKS in kinds else "lock"
    return "checks"


async def _retry(ctx: Context, actor: Actor, deploy: Deploy, place: Place) -> Answer:
    """One retry of a deploy by whoever presses it, however often they do."""
    if not deploy.state.terminal:
        return said(sentences.not_over(deploy.name), done=False)
    key = f"retry:{deploy.name}"
    again = await commanding.retry(ctx, actor, deploy.app, deploy.number, key=key, door=place.door, chat=place.chat)
    return Answer(True, deploy=again.id)
