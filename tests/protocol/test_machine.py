"""Any order of what runners, people, providers and time do: the invariants hold after every step, and in the end the
provider shows how each deploy ended. Deterministic; mostly on SQLite, since the order of things matters more here."""

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ghapp.core.actors import ADMIN
from ghapp.core.remote import Unavailable
from ghapp.core.values import STATUS_OF, Door, State
from ghapp.service import outgoing, rollback
from ghapp.service.problems import Problem
from ghapp.store.stores import MIGRATIONS, open_stores
from tests.conftest import PostgresServer
from tests.protocol.rig import Rig, rig_on

T = TypeVar("T")

ENVIRONMENTS = ("staging", "production")
SHAS = tuple(letter * 40 for letter in "abc")
#: Later ones are never followed by earlier ones.
RANK = {"queued": 0, "pending": 1, "in_progress": 2, "success": 3, "failure": 3, "error": 3, "inactive": 4}
#: event -> the changes of state that it may bring to one deploy.
MAY: dict[str, set[tuple[str, str]]] = {
    "ask": set(),
    "hear again": set(),
    "roll back": set(),
    "claim": {("queued", "claimed")},
    "beat": set(),
    "hold": {("claimed", "queued")},
    "start": {("claimed", "running"), ("claimed", "queued")},
    "finish": {(before, after) for before in ("claimed", "running") for after in ("succeeded", "failed", "errored")}
    | {("running", "cancelled")},
    "cancel": {("queued", "cancelled"), ("claimed", "cancelled")},
    "declare dead": {("running", "errored")},
    "time": {("claimed", "queued")},
    "other": set(),
    "lock": set(),
    "force checks": set(),
    "force lock": set(),
}
#: What the runner does with a status that it was granted.
WRITES = st.sampled_from(["confirmed", "unconfirmed", "later", "not"])


@dataclass
class Known:
    """What the model knows of a deploy."""

    environment: str
    place: tuple[int, int]
    sha: str
    front_at: int | None = None
    forced: set[str] = field(default_factory=set)
    state: str = "queued"
    lost: bool = False
    leases: list[str] = field(default_factory=list)
    started_with: set[str] = field(default_factory=set)
    cancelled: bool = False

    @property
    def order(self) -> tuple[bool, int, int]:
        return (self.front_at is None, self.place[0] if self.front_at is None else self.front_at, self.place[1])

    def passes(self, locked: bool) -> bool:
        return not locked or bool(self.forced & {"lock", "all"})


class Protocol(RuleBasedStateMachine):
    """One app and whoever talks to it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Known] = {}
        self.locked: set[str] = set()
        self.ids: dict[int, int] = {}
        self.jobs: list[dict[str, Any]] = []
        self.later: list[tuple[int, int, dict[str, Any]]] = []

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = contextlib.AsyncExitStack()
        self.rig: Rig = self.loop.run(self._open())
        for sha in SHAS[:2]:  # so that there is something to go back to
            self.ask("staging", 0, sha)
            for event, happening in (
                ("claim", self._claim()),
                ("start", self._start("not")),
                ("finish", self._finish()),
            ):
                self._do(event, happening)
        for environment in (*ENVIRONMENTS, *ENVIRONMENTS):
            self.ask(environment, 0, SHAS[2])

    async def _open(self) -> Rig:
        self.stack.enter_context(mock.patch.object(outgoing, "AT_ONCE", 1))  # one order, so that it can be replayed
        stores = await open_stores(await self._database())
        self.stack.push_async_callback(stores.close)
        return await self.stack.enter_async_context(rig_on(stores))

    async def _database(self) -> str:
        return f"sqlite:///{Path(self.folder.name) / 'kedge.sqlite'}"

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            self.loop.run(self._end())
            self.loop.close()
            self.folder.cleanup()

    async def _end(self) -> None:
        """I5: when everything has been delivered, the provider shows how each deploy ended."""
        try:
            self.rig.provider.refusals.clear()
            self.rig.provider.lost.clear()
            for _ in range(12):
                await self.rig.pass_s(61)
                await self.rig.deliver()
            for deploy_id, known in self.known.items():
                deploy = await self.rig.by_deployment(self.ids[deploy_id])
                if deploy.state.terminal and known.started_with:
                    assert self.rig.shown(deploy)[-1] in {STATUS_OF[deploy.state], "inactive"}
                elif deploy.state.terminal:
                    assert self.rig.shown(deploy)[-1] == STATUS_OF[deploy.state]
        finally:
            await self.stack.aclose()

    # What happens

    @precondition(lambda self: sum(known.state == "queued" for known in self.known.values()) < 4)
    @rule(environment=st.sampled_from(ENVIRONMENTS), late_s=st.integers(0, 20), sha=st.sampled_from(SHAS))
    def ask(self, environment: str, late_s: int, sha: str) -> None:
        async def do() -> None:
            created_at = self.rig.clock[0] - late_s * 1000
            deploy = await self.rig.deployment(environment, created_at=created_at, sha=sha)
            self.ids[deploy.id] = deploy.deployment_id or 0
            self.known[deploy.id] = Known(environment, (created_at, deploy.deployment_id or 0), sha)

        self._do("ask", do())

    @rule(data=st.data(), late_s=st.integers(0, 20))
    def hear_again(self, data: st.DataObject, late_s: int) -> None:
        """The provider tells of a deployment once more, as a delivery that is sent again or read back."""
        deploy_id = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[deploy_id]
        told = {"deployment_id": self.ids[deploy_id], "sha": known.sha, "created_at": self.rig.clock[0] - late_s * 1000}

        async def do() -> None:
            assert (await self.rig.deployment(known.environment, **told)).id == deploy_id, "one deploy, heard twice"

        self._do("hear again", do())

    @precondition(lambda self: not (self.rig.provider.refusals or self.rig.provider.lost))
    @precondition(lambda self: sum(known.state == "queued" for known in self.known.values()) < 6)
    @rule(environment=st.sampled_from(ENVIRONMENTS))
    def roll_back(self, environment: str) -> None:
        async def do() -> None:
            wish = rollback.Wish(environment=environment, wait=True, door=Door.API)
            with contextlib.suppress(Problem):  # there may be nothing to go back to
                asked_at = self.rig.clock[0]
                deploy = await rollback.roll_back(self.rig.ctx, ADMIN, "hello", wish)
                await self.rig.deliver()
                deploy = await self.rig.get(deploy)
                assert deploy.deployment_id, "the provider knows it"
                self.ids[deploy.id] = deploy.deployment_id or 0
                place = (deploy.asked_at, deploy.deployment_id or 0)
                self.known[deploy.id] = Known(environment, place, deploy.sha, front_at=asked_at)

        self._do("roll back", do())

    @precondition(lambda self: any(self._head(environment) for environment in ENVIRONMENTS))
    @rule()
    def claim(self) -> None:
        self._do("claim", self._claim())

    async def _claim(self) -> None:
        heads = {environment: self._head(environment) for environment in ENVIRONMENTS}
        ready = [head for head in heads.values() if head and await self._ready(head)]
        status, job = await self.rig.claim()
        assert (status == 200) is bool(ready), "I4: what may be claimed is"
        if status == 200:
            assert job["id"] in ready, "I6, rule 2: the head, and only where nothing holds it"
            known = self.known[job["id"]]
            assert job["lease"] not in known.leases, "rule 5: a lease is never given twice"
            known.leases.append(job["lease"])
            self.jobs.append(job)

    @precondition(lambda self: any(self._head(environment) for environment in ENVIRONMENTS))
    @rule()
    def claim_and_hold(self) -> None:
        """I6: who is held keeps its place before those that were asked for meanwhile."""
        before = len(self.jobs)
        self._do("time", self.rig.pass_s(1))
        self._do("claim", self._claim())
        if len(self.jobs) > before:
            self._do("hold", self.rig.hold(self.jobs[-1]))
            assert self.known[self.jobs[-1]["id"]].state == "queued"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), call=st.sampled_from(["beat", "hold"]))
    def beat_or_hold(self, data: st.DataObject, call: str) -> None:
        job = data.draw(self._some_job("claimed", "running"))

        async def do() -> None:
            self._judge(job, await (self.rig.beat(job) if call == "beat" else self.rig.hold(job)))

        self._do(call, do())

    @precondition(lambda self: any(known.state == "claimed" for known in self.known.values()))
    @rule(data=st.data(), writes=WRITES)
    def start(self, data: st.DataObject, writes: str) -> None:
        self._do("start", self._start(writes, data.draw(self._some_job("claimed"))))

    async def _start(self, writes: str, job: dict[str, Any] | None = None) -> None:
        job = job or self.jobs[-1]
        status, answer = await self.rig.start(job)
        self._judge(job, (status, answer))
        if status == 200 and answer["answer"] == "yes":
            known = self.known[job["id"]]
            if not known.started_with:
                assert known.passes(known.environment in self.locked), "I3: not through a lock"
                assert not known.cancelled, "I3: not after a cancel"
            known.started_with.add(job["lease"])
            assert known.started_with == {job["lease"]}, "I1: only one lease ever starts it"
            await self._write(job, answer, writes)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), ended_by=st.sampled_from(["exit", "error", "cancel"]), code=st.integers(0, 1), writes=WRITES)
    def finish(self, data: st.DataObject, ended_by: str, code: int, writes: str) -> None:
        self._do("finish", self._finish(writes, ended_by, code, data.draw(self._some_job("running"))))

    async def _finish(
        self, writes: str = "not", ended_by: str = "exit", code: int = 0, job: dict[str, Any] | None = None
    ) -> None:
        job = job or self.jobs[-1]
        status, answer = await self.rig.finish(job, ended_by, exit_code=code)
        self._judge(job, (status, answer))
        if status == 200:
            await self._write(job, answer, writes)

    @rule(data=st.data(), what=st.sampled_from(["cancel", "force checks", "force lock", "lock", "lock", "lock"]))
    def somebody_acts(self, data: st.DataObject, what: str) -> None:
        self._act(data.draw(st.sampled_from(sorted(self.known))), what)

    @precondition(lambda self: any(known.state == "claimed" for known in self.known.values()))
    @rule(data=st.data(), what=st.sampled_from(["cancel", "lock"]))
    def somebody_acts_before_the_start(self, data: st.DataObject, what: str) -> None:
        """I3, at the moment when it counts."""
        job = data.draw(self._some_job("claimed"))
        if job["id"] in self.known:
            self._act(job["id"], what)
            self._do("start", self._start("not", job))

    def _act(self, deploy_id: int, what: str) -> None:
        known = self.known[deploy_id]

        async def do() -> None:
            deploy = await self.rig.by_deployment(self.ids[deploy_id])
            if what == "cancel":
                await self.rig.cancel(deploy)
                known.cancelled = True
            elif what.startswith("force"):
                await self.rig.force(deploy, what.split()[1])
                known.forced.add(what.split()[1])
                known.front_at = known.front_at or self.rig.clock[0]
            else:
                await (self.rig.unlock if known.environment in self.locked else self.rig.lock)(deploy)
                self.locked ^= {known.environment}

        async def suppressed() -> None:
            with contextlib.suppress(Problem):
                await do()

        waits = known.state in {"queued", "claimed"}
        self._do(what, suppressed())
        assert what != "cancel" or not waits or known.state == "cancelled", "rule 9"

    @precondition(lambda self: any(known.lost for known in self.known.values()))
    @rule()
    def declare_dead(self) -> None:
        async def do() -> None:
            lost = next(deploy_id for deploy_id, known in self.known.items() if known.lost)
            await self.rig.declare_dead(await self.rig.by_deployment(self.ids[lost]))

        self._do("declare dead", do())

    @rule(
        what=st.sampled_from(["deliver", "deliver", "green", "pending", "lost", "refused", "broken", "late"]),
        sha=st.sampled_from(SHAS),
    )
    def the_provider_acts(self, what: str, sha: str) -> None:
        """It is told, it tells, and it is in trouble: a write fails, or is done although no answer tells so."""
        provider = self.rig.provider
        if what == "deliver":
            self._do("other", self.rig.deliver())
        elif what in {"green", "pending"}:
            check = self.rig.check(*(("ci", "success") if what == "green" else ("lint", "pending")), sha=sha)
            self._do("other", check)
        elif what == "late":
            self._write_late()
        elif what == "lost":
            provider.lost.append(Unavailable("the connection broke"))
        else:
            provider.refusals.append(Unavailable("trouble", status=502 if what == "refused" else None))

    @rule(seconds=st.sampled_from([1, 4, 6, 20, 31, 61, 61]), restarts=st.integers(0, 4))
    def time_passes(self, seconds: int, restarts: int) -> None:
        if not restarts:
            self.rig.restart()
        self._do("time", self.rig.pass_s(seconds))

    # What always holds

    @invariant()
    def the_provider_never_goes_back(self) -> None:
        """I5."""
        if hasattr(self, "rig"):
            for shown in self.rig.provider.statuses.values():
                ranks = [RANK[status.state] for status in shown]
                assert ranks == sorted(ranks), [status.state for status in shown]

    def _do(self, event: str, happening: Any) -> Any:
        """Let it happen, then look: at most one deploy has changed, in a way that the event may bring."""
        result = self.loop.run(happening)
        changed, rows = [], self.loop.run(self._rows())
        for row in rows:
            known = self.known[row["id"]]
            if row["state"] != known.state:
                changed.append((known.state, row["state"]))
            known.state, known.lost = row["state"], row["lost_since"] is not None
            assert row["state"] != "queued" or row["blockers"] != "[]", "blockers are never empty while queued"
            assert row["lost_since"] is None or row["state"] == "running"
            assert row["lease_hash"] is None or row["state"] != "queued", "each way back into the line ends the lease"
        assert set(changed) <= MAY[event], (event, changed)
        assert len(changed) <= (len(self.known) if event == "time" else 1)
        for environment in ENVIRONMENTS:
            active = [known for known in self._in(environment) if known.state in {"claimed", "running"}]
            assert len(active) <= 1, "I2"
        self._look_at_lines({row["id"]: row for row in rows})
        return result

    def _look_at_lines(self, rows: dict[int, Any]) -> None:
        """Whose turn it is may be claimed, and nobody else; who is held by a lock says so."""
        assert set(rows) == set(self.known), "no deploy is lost, and none appears"
        heads = {self._head(environment) for environment in ENVIRONMENTS}
        for deploy_id, known in self.known.items():
            if known.state == "queued":
                row, held = rows[deploy_id], not known.passes(known.environment in self.locked)
                assert (row["ready_at"] is not None) is (deploy_id in heads), "I4, I6: the head, and only the head"
                assert not held or '"kind":"lock"' in row["blockers"], "who is held by a lock says so"

    async def _rows(self) -> list[Any]:
        return await self.rig.ctx.stores.main.read(
            lambda tx: tx.all("SELECT id, state, lost_since, blockers, lease_hash, ready_at FROM deploys")
        )

    def _in(self, environment: str) -> list[Known]:
        return [known for known in self.known.values() if known.environment == environment]

    def _head(self, environment: str) -> int | None:
        """Whose turn it is: the first in order that no lock holds, where nothing is claimed or running."""
        if any(known.state in {"claimed", "running"} for known in self._in(environment)):
            return None
        waiting = [
            (known.order, deploy_id)
            for deploy_id, known in self.known.items()
            if known.environment == environment and known.state == "queued" and known.passes(environment in self.locked)
        ]
        return min(waiting)[1] if waiting else None

    async def _ready(self, deploy_id: int) -> bool:
        """May it be claimed now? If not, then soon (I4)."""
        (ready_at,) = [row["ready_at"] for row in await self._rows() if row["id"] == deploy_id]
        assert ready_at is not None, "I4: the head waits for nobody knows what"
        assert ready_at <= self.rig.clock[0] + 70_000, "I4: the slow net"
        return bool(ready_at <= self.rig.clock[0])

    def _judge(self, job: dict[str, Any], answer: tuple[int, Any]) -> None:
        """I7: who does not hold the lease is told so."""
        status, said = answer
        known = self.known.get(job["id"])
        holds = known and known.leases[-1:] == [job["lease"]] and known.state in {"claimed", "running"}
        if status == 409 and said["error"]["code"] == "lease_over":
            assert not holds, "a lease that lives is not over"
        elif status == 200 and known and known.state in {"claimed", "running", "queued"}:
            assert holds, "a lease that is over has no say"

    def _some_job(self, *states: str) -> st.SearchStrategy[dict[str, Any]]:
        """Mostly one whose deploy is in such a state; the leases of the others may be over."""
        fitting = [job for job in self.jobs if self.known[job["id"]].state in states]
        return st.sampled_from([*(fitting[-2:] * 4), *self.jobs[-3:]])

    def _write_late(self) -> None:
        """A runner writes what it was granted a while ago, if there is time left for it."""
        if self.later:
            until, deployment_id, status = self.later.pop(0)
            if self.rig.clock[0] < until:
                self.rig.provider.write(deployment_id, status["state"], status["description"])

    async def _write(self, job: dict[str, Any], answer: dict[str, Any], writes: str) -> None:
        status = answer.get("status")
        if status is None or writes == "not":
            return
        if writes == "later":
            until = self.rig.clock[0] + int(status["write_within_s"] * 1000)
            self.later.append((until, job["deployment_id"], status))
            return
        self.rig.provider.write(job["deployment_id"], status["state"], status["description"])
        if writes == "confirmed":
            if answer["state"] == State.RUNNING:
                await self.rig.beat(job, status_written=status["state"])
            else:
                await self.rig.finish(job, "error", status_written=status["state"])


Protocol.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestProtocol = Protocol.TestCase


def test_protocol_on_postgres(postgres: PostgresServer) -> None:
    class OnPostgres(Protocol):
        async def _database(self) -> str:
            return await self.stack.enter_async_context(postgres.database(MIGRATIONS))

    fewer = settings(Protocol.TestCase.settings, max_examples=6)
    run_state_machine_as_test(OnPostgres, settings=fewer)
