"""Commands in comments on pull requests: who is heard, which commit is meant, and what is answered there.

A comment is acted on once: that it was is saved in the transaction that does what it asks for. What is deployed is
pinned to a sha before anybody is asked whether it may be.
"""

from dataclasses import replace

from ghapp.core import answers, chat, commented, heads
from ghapp.core.actors import PERSON_SCOPES, Actor
from ghapp.core.answers import Answer, said
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.remote import Forbidden, NotFound
from ghapp.core.remote import Refused as NotTaken
from ghapp.core.values import Door
from ghapp.notify import pull_request as notes
from ghapp.service import chatting, telling
from ghapp.service.chatting import Pinned, Place, Refused
from ghapp.service.context import Context
from ghapp.store import comments, places
from ghapp.store.base import Tx, Work
from ghapp.store.deploys import Deploy
from ghapp.vcs.conversation import Conversation
from ghapp.vcs.events import CommentEvent, HeadEvent

#: A comment that was written longer ago, and does not say exactly what is to be done, is not acted on.
TOO_OLD_MS = 10 * 60_000

#: What they do depends on the moment in which it is done.
_OF_THE_MOMENT = chat.Deploy | chat.Rollback | chat.Force | chat.Resume | chat.Unlock


async def see_head(tx: Tx, provider: str, event: HeadEvent) -> bool:
    """Remember since when a pull request has its head."""
    repository_id = await places.keep_repository(tx, provider, event.repository, event.installation_id)
    await comments.see_head(tx, repository_id, event.number, comments.Head(event.sha, event.at))
    return True


def asks(event: CommentEvent) -> bool:
    """Does it hold commands of a person?"""
    return event.person and bool(commented.commands(event.text))


async def prepare(ctx: Context, provider: str, event: CommentEvent, apps: list[AppConfig]) -> Work[bool]:
    """Carry out what a comment asks of the apps; what is returned saves the answer. Raises RemoteError (try
    later)."""
    conversation = ctx.providers[provider].conversation(event.repository)
    if conversation is None:
        return _history
    if not event.trusted:
        return lambda tx: _only_react(tx, ctx, provider, event)
    return await _Comment(ctx, provider, event, apps, conversation).carry_out(commented.commands(event.text))


async def _history(_tx: Tx) -> bool:
    return False


async def _only_react(tx: Tx, ctx: Context, provider: str, event: CommentEvent) -> bool:
    """A stranger cannot make Kedge write comments."""
    repository_id = await places.keep_repository(tx, provider, event.repository, event.installation_id)
    if await comments.hear(tx, repository_id, event.comment_id, ctx.now()):
        await telling.react(tx, ctx, repository_id, event.comment_id, telling.CONFUSED)
    return True


class _Comment:
    """One comment on its way from being heard to being answered."""

    def __init__(
        self, ctx: Context, provider: str, event: CommentEvent, apps: list[AppConfig], conversation: Conversation
    ) -> None:
        self._ctx = ctx
        self._provider = provider
        self._event = event
        self._apps = apps
        self._conversation = conversation
        self._repository_id = 0

    async def carry_out(self, lines: list[str]) -> Work[bool]:
        known = await self._ctx.decide(self._hear)
        if known.answered:
            return _done
        command = self._read(lines)
        if isinstance(command, Answer):
            answer = command
        elif known.acted and not isinstance(command, chat.Deploy | chat.Rollback):
            answer = said(answers.done_before(), ways=["status"])
        elif isinstance(command, chat.Help):
            return self._help
        else:
            answer = await self._try(command, acted=known.acted)
        return lambda tx: self._answer(tx, answer)

    async def _hear(self, tx: Tx) -> comments.Asked:
        event = self._event
        self._repository_id = await places.keep_repository(tx, self._provider, event.repository, event.installation_id)
        if await comments.hear(tx, self._repository_id, event.comment_id, self._ctx.now()):
            await telling.react(tx, self._ctx, self._repository_id, event.comment_id, telling.EYES)
        return await comments.asked(tx, self._repository_id, event.comment_id)

    def _read(self, lines: list[str]) -> chat.Command | Answer:
        """The command, or the answer to what is none that can be obeyed."""
        if not self._event.pull_request:
            return said(answers.no_pull_request(), done=False)
        if len(lines) > 1:
            return said(answers.one_at_a_time(), done=False)
        command = chat.parse(lines[0], chatting.names_of(self._apps))
        if isinstance(command, chat.Wrong):
            return said(command.message, ways=command.ways, done=False)
        return command

    async def _try(self, command: chat.Command, *, acted: bool) -> Answer:
        """What the provider refuses for good is an answer; what it may answer later is tried again."""
        try:
            return await self._obey(command, acted=acted)
        except (Forbidden, NotFound, NotTaken) as error:
            return said(error.message, ways=[chat.written(command)], done=False)

    async def _obey(self, command: chat.Command, *, acted: bool) -> Answer:
        late_by = self._ctx.now() - self._event.written_at
        exact = isinstance(command, chat.Deploy) and command.sha is not None
        if late_by > TOO_OLD_MS and isinstance(command, _OF_THE_MOMENT) and not exact and not acted:
            return await self._too_old(command, late_by)
        event = self._event
        names = tuple(one.name for one in self._apps)
        actor = Actor(event.who, PERSON_SCOPES, apps=names, provider=self._provider)
        place = Place(
            door=Door.COMMENT,
            key=f"{self._provider}:comment:{event.repository.id}:{event.comment_id}",
            apps=names,
            reason=f"see {event.repository.full_name}#{event.number}",
            pin=self._pin,
        )
        asks = isinstance(command, chat.Deploy | chat.Rollback)
        once = replace(self._ctx, also=lambda tx, result: self._remember(tx, result, asks=asks))
        with chatting.heard_at(Door.COMMENT):
            return await chatting.carry_out(once, actor, command, place)

    async def _remember(self, tx: Tx, result: object, *, asks: bool) -> None:
        """In the transaction that does what the comment asks for."""
        event = self._event
        await comments.act(tx, self._repository_id, event.comment_id, self._ctx.now())
        if asks and isinstance(result, Deploy):
            await telling.follow(tx, self._ctx, result, event.number, event.comment_id)

    async def _too_old(self, command: chat.Command, late_by: int) -> Answer:
        """Of a deploy the answer asks for the sha; anything else is to be written again."""
        way = command
        if isinstance(command, chat.Deploy) and command.ref is None:
            way = replace(command, ref=(await self._conversation.pull_request(self._event.number)).head_sha)
        return said(answers.too_old(late_by // 60_000), ways=[chat.written(way)], done=False)

    async def _pin(self, command: chat.Deploy, _environment: EnvironmentConfig) -> Pinned:
        """Raises Refused for a head that its author may have changed, or decides about."""
        pull = await self._conversation.pull_request(self._event.number)
        named = [chat.written(replace(command, ref=pull.head_sha))]
        if pull.from_fork and (command.ref is None or (command.sha and not command.exact)):
            raise Refused(said(answers.of_a_fork(pull.head_sha), ways=named, done=False))
        if command.ref is None or (command.ref == pull.head_ref and not pull.from_fork):
            if not await self._was_there(pull.head_sha):
                raise Refused(said(answers.pushed_later(pull.head_sha), ways=named, done=False))
            return Pinned(pull.head_ref if pull.open else None, pull.head_sha)
        return Pinned(None, command.sha) if command.sha else Pinned(command.ref, None)

    async def _was_there(self, sha: str) -> bool:
        event = self._event
        heard_of_at = await self._conversation.heard_of_at(sha)
        told = await self._ctx.stores.main.read(lambda tx: comments.head(tx, self._repository_id, event.number))
        return heads.was_there(event.written_at, heard_of_at, (told.sha, told.at) if told else None, sha)

    async def _answer(self, tx: Tx, answer: Answer) -> bool:
        """A deploy is told of by a comment and a reaction of its own."""
        event = self._event
        if answer.deploy is None:
            reaction = telling.ROCKET if answer.done else telling.CONFUSED
            await telling.react(tx, self._ctx, self._repository_id, event.comment_id, reaction)
            await self._say(tx, notes.answered(answer, event.comment_id, event.who))
        await comments.answer(tx, self._repository_id, event.comment_id, self._ctx.now())
        return True

    async def _help(self, tx: Tx) -> bool:
        event = self._event
        await telling.react(tx, self._ctx, self._repository_id, event.comment_id, telling.ROCKET)
        await self._say(tx, notes.help_page(event.comment_id, chatting.listed(self._apps)))
        await comments.answer(tx, self._repository_id, event.comment_id, self._ctx.now())
        return True

    async def _say(self, tx: Tx, text: str) -> None:
        event = self._event
        marker = notes.answer_marker(event.comment_id)
        await telling.reply(tx, self._ctx, self._repository_id, event.number, marker, text)


async def _done(_tx: Tx) -> bool:
    return True
