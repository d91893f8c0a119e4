"""A branch that people push to: a provider in memory that knows what descends from what, and the app that is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ghapp.core.checks import Check, CheckState
from ghapp.core.remote import NotFound, RemoteError
from ghapp.service import judging
from ghapp.store import deploys, events
from ghapp.store.deploys import Deploy
from ghapp.vcs.base import Comparison
from ghapp.vcs.events import PushEvent
from tests.protocol.rig import REPOSITORY, MemoryProvider, Rig

CONFIG = """
hello:
  repository: acme/hello
  deploy: "./deploy.sh {env} {sha}"
  environments:
    staging: {checks: [ci], auto: {branch: main, after: checks}}
    production: {checks: [ci]}
"""


def sha(letter: str) -> str:
    return letter * 40


@dataclass
class Branches(MemoryProvider):
    """``parents`` of commits, ``heads`` of branches, ``shown`` the checks of a commit as they are; ``away`` is what
    every question is answered with while it is set, ``asked`` how often checks were asked for."""

    parents: dict[str, str | None] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    shown: dict[str, dict[str, Check]] = field(default_factory=dict)
    away: RemoteError | None = None
    asked: int = 0

    def _present(self) -> None:
        if self.away:
            raise self.away

    def line_of(self, commit: str) -> list[str]:
        """The commit and all that it contains."""
        found: list[str] = []
        at: str | None = commit
        while at is not None:
            found.append(at)
            at = self.parents[at]
        return found

    async def default_branch(self) -> str:
        self._present()
        return "main"

    async def checks_of(self, sha: str) -> Sequence[Check]:
        self._present()
        self.asked += 1
        return list(self.shown.get(sha, {}).values())

    async def reachable(self, sha: str, refs: Sequence[str]) -> bool:
        self._present()
        return any(ref in self.heads and sha in self.line_of(self.heads[ref]) for ref in refs)

    async def compare(self, base: str, head: str) -> Comparison:
        self._present()
        if base not in self.parents or head not in self.parents:
            raise NotFound("no such commit")
        ahead, behind = head in self.line_of(base), base in self.line_of(head)
        status = "identical" if base == head else "behind" if ahead else "ahead" if behind else "diverged"
        return Comparison(status, 0, 0, ())


@dataclass
class Pushes:
    """Drives the rig as people who push, and CI that reports."""

    rig: Rig
    github: Branches

    def commit(self, letter: str, on: str | None = None, branch: str = "main") -> PushEvent:
        """A commit on top of another one (default: the branch's head) is pushed to the branch; the event of it."""
        before = self.github.heads.get(branch)
        parent = sha(on) if on else before
        self.github.parents.setdefault(sha(letter), parent)
        return self.move(letter, branch)

    def move(self, letter: str, branch: str = "main", message: str = "change something") -> PushEvent:
        """The branch is moved to a commit that there is."""
        before = self.github.heads.get(branch)
        self.github.heads[branch] = sha(letter)
        return PushEvent(
            repository=REPOSITORY,
            installation_id=5,
            branch=branch,
            before=before,
            after=sha(letter),
            forced=before is not None and before not in self.github.line_of(sha(letter)),
            message=message,
            pusher="ana",
        )

    def delete(self, branch: str = "main") -> PushEvent:
        gone = self.github.heads.pop(branch)
        return PushEvent(
            repository=REPOSITORY,
            installation_id=5,
            branch=branch,
            before=gone,
            after=None,
            forced=False,
            message="",
            pusher="ana",
        )

    async def push(self, letter: str, **where: Any) -> Deploy | None:
        """Pushed, heard of and judged; the deploy of it, if there is one."""
        await self.rig.hear(self.commit(letter, **where))
        await self.judge()
        return await self.of(letter)

    async def report(self, letter: str, state: str, name: str = "ci") -> None:
        """CI reports; the app hears of it and judges."""
        check = Check(f"status/{name}", name, CheckState(state), self.rig.clock[0], next(self.rig.ids))
        self.github.shown.setdefault(sha(letter), {})[name] = check
        await self.rig.check(name, state, at=check.at, serial=check.serial, sha=sha(letter))
        await self.judge()

    async def judge(self) -> None:
        """Let the app judge and tell GitHub, until there is nothing left to do now."""
        for _ in range(20):
            judged = await judging.judge_due(self.rig.ctx)
            await self.rig.deliver()
            if not judged:
                return
        raise AssertionError("it judges without end")

    async def pass_s(self, seconds: float) -> None:
        await self.rig.pass_s(seconds)
        await self.judge()

    async def all(self, environment: str = "staging") -> list[Deploy]:
        """The automatic deploys there ever were, in the order of their numbers."""

        async def rows(tx: Any) -> list[Deploy]:
            found = await tx.all("SELECT id FROM deploys WHERE door = 'automatic' ORDER BY number")
            return [
                one for row in found if (one := await deploys.get(tx, row["id"])) and one.environment == environment
            ]

        return await self.rig.ctx.stores.main.read(rows)

    async def of(self, letter: str, environment: str = "staging") -> Deploy | None:
        """The newest automatic deploy of a commit."""
        found = [one for one in await self.all(environment) if one.sha == sha(letter)]
        return found[-1] if found else None

    async def existing(self, letter: str, environment: str = "staging") -> Deploy:
        found = await self.of(letter, environment)
        assert found is not None, f"no automatic deploy of {letter}"
        return found

    async def states(self) -> list[tuple[str, str]]:
        return [(one.sha[0], one.state.value) for one in await self.all()]

    async def run(self) -> dict[str, Any]:
        """A runner takes what may be claimed and runs it to a good end; the job."""
        job = await self.rig.claimed()
        status, answer = await self.rig.start(job)
        assert (status, answer["answer"]) == (200, "yes"), answer
        await self.rig.finish(job)
        await self.judge()
        return job

    async def nothing_to_claim(self) -> bool:
        return (await self.rig.claim())[0] == 204

    async def told(self, kind: str) -> list[str]:
        """The messages of recorded events of a kind, oldest first."""
        found = await self.rig.ctx.stores.main.read(lambda tx: events.newest(tx, kind=kind))
        return [str(one.data.get("message", "")) for one in reversed(found)]


async def pushes_on(rig: Rig, config: str = CONFIG) -> Pushes:
    """Main is at commit ``0``, of which nobody has heard."""
    github = Branches(parents={sha("0"): None}, heads={"main": sha("0")})
    rig.provider = github
    rig.ctx.providers = {"github": github}
    await rig.config(config)
    return Pushes(rig, github)
