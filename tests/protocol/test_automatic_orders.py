"""Any order of what pushes, CI, people, runners, time and a provider in trouble bring: of a commit one starts by itself
at most, never back behind what is live, and each that waits says why and is looked at again."""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ghapp.core.remote import Unavailable
from ghapp.service.problems import Problem
from ghapp.store.deploys import Deploy
from ghapp.store.stores import open_stores
from ghapp.vcs.events import PushEvent
from tests.protocol.branch import Pushes, pushes_on, sha
from tests.protocol.rig import rig_on


class Automatic(RuleBasedStateMachine):
    """One environment that deploys main by itself."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = contextlib.AsyncExitStack()
        self.it: Pushes = self.loop.run(self._open())
        self.letters = iter("abcdefghijklmnopqrstuvwxyz")
        self.pushed: list[str] = []
        self.untold: list[PushEvent] = []
        self.told: list[PushEvent] = []
        self.jobs: list[dict[str, Any]] = []
        self.started: list[str] = []
        self.locked = False

    async def _open(self) -> Pushes:
        stores = await open_stores(f"sqlite:///{Path(self.folder.name) / 'kedge.sqlite'}")
        self.stack.push_async_callback(stores.close)
        return await pushes_on(await self.stack.enter_async_context(rig_on(stores)))

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run(self.stack.aclose())
            self.loop.close()
            self.folder.cleanup()

    @precondition(lambda self: len(self.pushed) < 8)
    @rule(data=st.data(), tell=st.booleans())
    def push(self, data: st.DataObject, tell: bool) -> None:
        """On top of the head mostly; a forced one begins anywhere."""
        letter = next(self.letters)
        on = data.draw(st.sampled_from([None, None, None, *self.pushed]))
        event = self.it.commit(letter, on=on)
        self.pushed.append(letter)
        self.untold.append(event)
        if tell:
            self.hear(self.untold.pop())

    @precondition(lambda self: self.untold or self.told)
    @rule(data=st.data())
    def a_push_is_told_late_or_again(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from([*self.untold, *self.told]))
        if event in self.untold:
            self.untold.remove(event)
        self.hear(event)

    def hear(self, event: PushEvent) -> None:
        self.told.append(event)
        with contextlib.suppress(Unavailable):  # the inbox would try again
            self._do(self.it.rig.hear(event))

    @precondition(lambda self: self.pushed)
    @rule(data=st.data(), state=st.sampled_from(["success", "success", "failure", "pending"]))
    def report(self, data: st.DataObject, state: str) -> None:
        self._do(self.it.report(data.draw(st.sampled_from(self.pushed[-3:])), state))

    @rule(seconds=st.sampled_from([0, 2, 9, 71]), away=st.sampled_from([False, False, False, True]))
    def time_passes(self, seconds: int, away: bool) -> None:
        self.it.github.away = Unavailable("no answer") if away else None
        self._do(self.it.pass_s(seconds))

    @rule()
    def claim_and_start(self) -> None:
        async def do() -> None:
            live = await self._live()
            status, job = await self.it.rig.claim()
            if status != 200:
                return
            if job["door"] == "automatic":
                assert live is None or job["sha"] not in self.it.github.line_of(live), "never backwards"
            _, answer = await self.it.rig.start(job)
            if answer["answer"] == "yes":
                self.started.append(job["sha"] if job["door"] == "automatic" else "")
                self.jobs.append(job)

        self._do(do())

    @precondition(lambda self: self.jobs)
    @rule(code=st.integers(0, 1))
    def finish(self, code: int) -> None:
        self._do(self.it.rig.finish(self.jobs.pop(), exit_code=code))

    @precondition(lambda self: self.pushed)
    @rule(data=st.data(), what=st.sampled_from(["deploy", "lock", "cancel", "force"]))
    def a_person_acts(self, data: st.DataObject, what: str) -> None:
        async def do() -> None:
            waiting = [one for one in await self.it.all() if one.state == "queued"]
            if what == "deploy":
                await self.it.rig.deployment(sha=sha(data.draw(st.sampled_from(self.pushed))))
            elif waiting and what == "lock":
                await (self.it.rig.unlock if self.locked else self.it.rig.lock)(waiting[0])
                self.locked = not self.locked
            elif waiting and what == "cancel":
                await self.it.rig.cancel(waiting[-1])
            elif waiting:
                await self.it.rig.force(waiting[-1], "lock")

        with contextlib.suppress(Problem):
            self._do(do())

    async def _live(self) -> str | None:
        row = await self.it.rig.ctx.stores.main.read(
            lambda tx: tx.one(
                "SELECT sha FROM deploys WHERE state = 'succeeded' ORDER BY ended_at DESC, id DESC LIMIT 1"
            )
        )
        return row["sha"] if row else None

    def _do(self, happening: Any) -> None:
        self.loop.run(happening)
        own = [one for one in self.started if one]
        assert len(own) == len(set(own)), "of a commit one starts by itself at most"
        for deploy in self.loop.run(self.it.all()):
            self._look_at(deploy)

    def _look_at(self, deploy: Deploy) -> None:
        if deploy.state != "queued":
            return
        assert deploy.blockers, "who waits says why"
        if deploy.out_of_line:
            assert deploy.judge_at is not None, "out of the line it is looked at again"
            assert deploy.judge_at <= self.it.rig.clock[0] + 70_000, "by the slow net at the latest"
            assert deploy.ready_at is None
        elif any(one.kind == "superseded" for one in deploy.blockers):
            assert deploy.judge_at is not None, "it is compared again"


Automatic.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestAutomatic = Automatic.TestCase
