"""What people ask and press in Slack: who they are, what they mean, and what is answered to them.

It is stored before it is acknowledged, and acted on once: that it was is saved in the transaction that does it.
"""

import asyncio
import re
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ghapp.channels.slack_socket import Envelope
from ghapp.core import answers, chat
from ghapp.core.actors import PERSON_SCOPES, Actor
from ghapp.core.answers import Action, Answer, Line, said
from ghapp.core.config import AppConfig
from ghapp.core.remote import RemoteError, Unavailable
from ghapp.core.values import Chat, Door
from ghapp.notify import slack_answer as notes
from ghapp.notify.slack import BUTTON, Body
from ghapp.service import chatting, permits, pressing, slack_answers, told
from ghapp.service.chatting import Place
from ghapp.service.context import Context
from ghapp.service.hearing import Plan
from ghapp.service.problems import Problem
from ghapp.service.slack_telling import NAME, People
from ghapp.store import deploys, inbox
from ghapp.store.base import Tx
from ghapp.store.inbox import Delivery

#: What Slack sends is small; more is nothing that Kedge made somebody press.
SIZE_LIMIT = 256 * 1024
#: What could not be done for so long, since somebody could not be asked, is not done any more.
TOO_OLD_MS = 10 * 60_000
#: Others are not held up for longer by one whom nobody can be asked about.
PATIENCE_S = 5.0
TOO_LARGE = "too_large"


class _Id(msgspec.Struct):
    id: str


class _Pressed(msgspec.Struct):
    action_id: str
    value: str = ""


class _Command(msgspec.Struct):
    """https://docs.slack.dev/interactivity/implementing-slash-commands#app_command_handling"""

    user_id: str
    channel_id: str
    response_url: str
    text: str = ""


class _Press(msgspec.Struct):
    """https://docs.slack.dev/reference/interaction-payloads/block_actions-payload"""

    user: _Id
    actions: list[_Pressed]
    response_url: str
    channel: _Id | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What somebody did, whichever way."""

    user_id: str
    room: str | None
    url: str
    text: str | None = None
    pressed: _Pressed | None = None


async def take(ctx: Context, envelope: Envelope) -> None:
    """Store it; what is known already changes nothing."""
    small = len(envelope.body) <= SIZE_LIMIT
    kind, body, now = envelope.kind if small else TOO_LARGE, envelope.body if small else b"", ctx.now()
    await ctx.stores.main.write(lambda tx: inbox.store(tx, NAME, envelope.id, kind, body, now))
    ctx.signals.send("inbox")


async def prepare(people: People, ctx: Context, delivery: Delivery) -> Plan | str:
    """Do what was asked for; the plan owes the answer. Raises RemoteError (try later)."""
    try:
        asked = _read(delivery)
    except msgspec.DecodeError as error:
        return f"It cannot be used: {error}."
    if asked is None:
        return "Nothing that Kedge acts on."
    body = await _Hearing(ctx, people, delivery, asked).answer()
    return lambda tx: _owe(tx, ctx, delivery, asked, body)


async def _owe(tx: Tx, ctx: Context, delivery: Delivery, asked: _Asked, body: Body) -> bool:
    await slack_answers.owe(tx, ctx, delivery.guid, asked.url, body)
    return True


def _read(delivery: Delivery) -> _Asked | None:
    body = delivery.body or b""
    if delivery.event == "slash_commands":
        command = msgspec.json.decode(body, type=_Command)
        return _Asked(command.user_id, command.channel_id, command.response_url, text=command.text)
    if delivery.event != "interactive" or msgspec.json.decode(body, type=dict[str, Any]).get("type") != "block_actions":
        return None
    press = msgspec.json.decode(body, type=_Press)
    ours = [one for one in press.actions if one.action_id.startswith(BUTTON)]
    room = press.channel.id if press.channel else None
    return _Asked(press.user.id, room, press.response_url, pressed=ours[0]) if ours else None


class _Hearing:
    """One envelope on its way from being heard to being answered."""

    def __init__(self, ctx: Context, people: People, delivery: Delivery, asked: _Asked) -> None:
        self._ctx = ctx
        self._people = people
        self._delivery = delivery
        self._asked = asked

    async def answer(self) -> Body:
        late_by = self._ctx.now() - self._delivery.received_at
        if late_by > TOO_OLD_MS:
            return notes.answered(said(answers.too_old(late_by // 60_000), done=False))
        login = await self._login()
        if login is None:
            return notes.answered(said(answers.nobody_in_slack(self._asked.user_id), done=False))
        apps, away = await _readable(self._ctx, login)
        missing = answers.hosts_away(away) if away else ""
        what = self._asked.pressed or chat.parse(self._asked.text or "help", chatting.names_of(apps))
        if isinstance(what, chat.Help):
            return notes.help_page([*chatting.listed(apps), *filter(None, [missing])])
        return notes.answered(await self._answer(login, apps, what, missing))

    async def _answer(
        self, login: str, apps: list[AppConfig], what: chat.Command | chat.Wrong | _Pressed, missing: str
    ) -> Answer:
        """Unless it names an app that is there, it may be about one that is ``missing``."""
        sure = not missing or _app(what) in {app.name for app in apps}
        if not sure and not (apps and isinstance(what, chat.Status | chat.Queue | chat.Why | chat.Wrong)):
            return said(missing, done=False)
        if isinstance(what, chat.Wrong):
            answer = said(what.message, ways=what.ways, done=False)
        else:
            answer = await self._carry_out(login, apps, what)
        return answer if sure else replace(answer, lines=(*answer.lines, Line(missing)))

    async def _login(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._people.login(self._asked.user_id)
        except TimeoutError:
            raise Unavailable(f"Slack did not say within {PATIENCE_S:g} s who asks.") from None

    async def _carry_out(self, login: str, apps: list[AppConfig], what: chat.Command | _Pressed) -> Answer:
        if not apps:
            return said(answers.no_app_for(login), done=False)
        names = tuple(app.name for app in apps)
        actor = Actor(login, PERSON_SCOPES, apps=names)
        once = replace(self._ctx, also=self._remember)
        asker = Chat(adapter=NAME, room=self._asked.room, user=self._asked.user_id)
        place = Place(
            door=Door.CHAT,
            key=f"{NAME}:{self._delivery.guid}",
            apps=names,
            reason="asked for in Slack",
            chat=asker,
        )
        try:
            with chatting.heard_at(Door.CHAT):
                if isinstance(what, _Pressed):
                    action = Action(what.action_id.removeprefix(BUTTON))
                    answer = await pressing.carry_out(once, actor, action, what.value, place)
                else:
                    answer = await chatting.carry_out(once, actor, what, place)
            return await self._with_deploy(answer)
        except ValueError as error:
            return said(str(error), done=False)

    async def _with_deploy(self, answer: Answer) -> Answer:
        """How the deploy stands that was asked for; what becomes of it is told in the room."""
        deploy_id = answer.deploy
        if deploy_id is None:
            return answer
        deploy = await self._ctx.stores.main.read(lambda tx: deploys.get(tx, deploy_id))
        if deploy is None:
            return answer
        text = answers.asked_for(deploy.name, deploy.environment, told.sentence(deploy))
        return replace(answer, lines=(Line(text, self._ctx.page(deploy.app, deploy.number)), *answer.lines))

    async def _remember(self, tx: Tx, _result: object) -> None:
        """In the transaction that does it: it is not done again, and answered even if nobody lives to say what."""
        await inbox.end(tx, self._delivery.id, "done")
        body = notes.answered(said(answers.done_before()))
        in_ms = slack_answers.FORGOTTEN_MS
        await slack_answers.owe(tx, self._ctx, self._delivery.guid, self._asked.url, body, in_ms=in_ms)


def _app(what: chat.Command | chat.Wrong | _Pressed) -> str | None:
    if isinstance(what, _Pressed):
        return re.split("[#/]", what.value)[0]
    return what.app if isinstance(what, chat.Command) else None


async def _readable(ctx: Context, login: str) -> tuple[list[AppConfig], list[str]]:
    """The apps whose repositories they can read; where a host knows no people, those that name them. And the hosts that
    did not say so of each of theirs."""
    apps = list(ctx.apps.configs.values())
    found = await asyncio.gather(*(_can_read(ctx, login, app) for app in apps))
    away = {app.via for app, can in zip(apps, found, strict=True) if can is None}
    return [app for app, can in zip(apps, found, strict=True) if can], sorted(away)


async def _can_read(ctx: Context, login: str, app: AppConfig) -> bool | None:
    """None where its host cannot be asked."""
    if any(login.casefold() in map(str.casefold, one.allow.users) for one in app.environments):
        return True
    try:
        async with asyncio.timeout(PATIENCE_S):
            repository = await permits.repository_of(ctx, app)
            people = ctx.providers[app.via].people(repository)
            return people is not None and await ctx.permissions.role(people, repository, login) != "none"
    except Problem as problem:
        return False if problem.code == "invalid" else None  # there is no such repository, for nobody
    except (RemoteError, TimeoutError):
        return None
