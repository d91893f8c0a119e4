"""The whole app in this process against the sandbox, with a clock that the test turns, and a pull request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp.test_utils import TestServer

from ghapp.api.common import CONTEXT
from ghapp.app import build
from ghapp.config_github import GitHubSettings
from ghapp.core.values import EndedBy
from ghapp.sandbox.server import Sandbox
from ghapp.sandbox.talk import Comment
from ghapp.service import claiming, finishing, leases
from ghapp.service.context import Context
from ghapp.service.finishing import End
from ghapp.store import deploys, inbox, messages, outbox
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from tests.integration.kedge_world import NOON, settings

REPO = "acme/hello"
KEDGE = "kedge[bot]"
CONFIG = """
hello:
  via: github
  repository: acme/hello
  deploy: "./deploy {env} {sha}"
  environments:
    staging: {aliases: [stg]}
    production: {allow: {users: [olga]}}
    europe: {refs: [main]}
"""
WITHIN_S = 20.0


@dataclass
class World:
    """``head`` is the sha of the branch ``feature``, pull request 1. The clock stands; `pass_s` turns it."""

    gh: Sandbox
    ctx: Context
    clock: list[int]
    head: str = ""
    leases: dict[int, str] = field(default_factory=dict)
    waits_for_channels: bool = True

    def pass_s(self, seconds: float) -> None:
        self.clock[0] += int(seconds * 1000)

    def push(self, text: str = "1", *, branch: str = "feature", suite: bool = False) -> str:
        """A push to the branch; with ``suite`` an App is asked to check it."""
        sha = self.gh.commit(REPO, branch, {"feature.txt": text}, message="Change the feature", by="ana")
        if suite:
            self.gh.add_check_suite(REPO, sha)
        return sha

    async def quiet(self) -> None:
        """Wait until all that was sent was heard, done and written."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                await self.gh.settled()
                if not await self.ctx.stores.main.read(self._due):
                    return
                self.ctx.signals.send("inbox")
                self.ctx.signals.send("outbox")
                self.ctx.signals.send("messages")
                await asyncio.sleep(0.01)

    async def _due(self, tx: Tx) -> bool:
        now = self.clock[0]
        channels = self.ctx.channels if self.waits_for_channels else {}
        unsaid = [await messages.due(tx, name, now, 1, in_order=one.in_order) for name, one in channels.items()]
        return bool(await inbox.due(tx, now, 1) or await outbox.due(tx, now, 1) or any(unsaid))

    async def later(self) -> None:
        """So much later that everything that has happened is told."""
        self.pass_s(11)
        await self.quiet()

    async def shows(self, said: "Said", text: str) -> None:
        """Let time pass until the answer says it: an edit whose request failed is tried again later."""
        for _ in range(10):
            await self.later()
            if text in said.answer:
                return
        raise AssertionError(f"{text!r} is not in the answer: {said.answer}")

    async def say(self, text: str, *, by: str = "ana", number: int = 1, after_s: float = 5) -> "Said":
        """Write a comment; what came of it."""
        self.pass_s(after_s)
        before = len(self.gh.comments(REPO, number))
        comment = self.gh.comment(REPO, number, text, by=by)
        await self.quiet()
        answers = self.gh.comments(REPO, number)[before + 1 :]
        assert all(one.author.login == KEDGE for one in answers)
        return Said(self.gh, comment, answers)

    async def deploy(self, number: int = 1) -> Deploy:
        found = await self.ctx.stores.main.read(lambda tx: deploys.by_number(tx, "hello", number))
        assert found, f"there is no deploy {number}"
        return found

    async def count(self) -> int:
        rows = await self.ctx.stores.main.read(lambda tx: tx.all("SELECT id FROM deploys"))
        return len(rows)

    async def start(self) -> Deploy:
        """A runner takes the next deploy and runs its command."""
        wish = claiming.Wish(
            claim_id=f"claim-{self.clock[0]}", runner="r1", labels=(), apps=None, boot_id="b", version="1", wait_s=0
        )
        claimed = await claiming.claim(self.ctx, wish)
        assert claimed
        self.leases[claimed.deploy.id] = claimed.lease
        deploy_id, lease = claimed.deploy.id, claimed.lease
        self.pass_s(1)
        return (await self.ctx.decide(lambda tx: leases.start(tx, self.ctx, deploy_id, lease, 0))).deploy

    async def finish(self, deploy: Deploy, exit_code: int = 0) -> None:
        self.pass_s(1)
        end = End(ended_by=EndedBy.EXIT, started=True, ended_at=self.clock[0], exit_code=exit_code)
        lease = self.leases[deploy.id]
        await self.ctx.decide(lambda tx: finishing.finish(tx, self.ctx, deploy.id, lease, end))
        await self.quiet()


@dataclass(frozen=True, slots=True)
class Said:
    """A comment and Kedge's answers to it."""

    gh: Sandbox
    comment: Comment
    answers: list[Comment]

    @property
    def reactions(self) -> list[str]:
        """The first is put there first, or at the same time as another."""
        return sorted(self.gh.reactions(self.comment.id), key=("eyes", "rocket", "confused").index)

    @property
    def answer(self) -> str:
        """The only answer, as it stands now, without the invisible characters that keep it from calling people."""
        (one,) = self.answers
        current = next(comment for comment in self.gh.comments(REPO, one.number) if comment.id == one.id)
        return current.body.replace("\u200b", "")


@asynccontextmanager
async def opened(
    folder: Path, database_url: str, config: str = CONFIG, clock: list[int] | None = None, **changes: object
) -> AsyncIterator[World]:
    """A pull request of `ana`, who may push; `bob` may only read, `olga` is an owner, `mallory` a stranger. ``changes``
    are of the settings."""
    clock = clock or [NOON]
    async with Sandbox(folder / "github", clock=lambda: clock[0]) as gh:
        gh.add_organization("acme", ["olga"])
        gh.add_repository(REPO)
        gh.set_permission(REPO, "ana", "write")
        gh.set_permission(REPO, "bob", "read")
        keys = gh.add_app()
        app = build(
            settings(
                apps_text=config,
                database_url=database_url,
                inbound="webhooks",
                github=GitHubSettings(
                    app_id=keys.id,
                    private_key=keys.private_key,
                    webhook_secrets=(keys.webhook_secret,),
                    api_url=gh.api_url,
                    web_url=gh.url,
                ),
                **changes,
            )
        )
        async with TestServer(app) as server:
            ctx = app[CONTEXT]
            ctx.now = lambda: clock[0]
            ctx.started_at = clock[0] - 120_000
            for client in ctx.providers.values():
                client._clock = ctx.now  # type: ignore[attr-defined]
            gh.set_webhook(keys.id, str(server.make_url("/webhooks/github")))
            gh.install(keys.id, [REPO])
            world = World(gh, ctx, clock)
            world.head = world.push()
            gh.open_pull_request(REPO, "feature", by="ana")
            await world.quiet()
            yield world
