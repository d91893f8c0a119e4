"""Chaos: many deployments, delivered twice and shuffled, while app and runner are killed again and again.

    python tests/chaos.py --seed 7 [--deploys 200] [--kills 10] [--database URL]

A sandbox GitHub runs in this process, app and runner as processes of their own. At the end everything is compared:
what GitHub was asked for, what was executed (each command leaves a line in a file), the order in which the app let
deploys be claimed, what GitHub shows, and every byte of every log. Exit code 0 only if all of it is right. The seed
decides what is asked for, the shuffling, and who is killed when; how far each process has come then, nobody decides.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ghapp.sandbox.hooks import Delivery
from tests.chaos_verdict import Ended, verdict
from tests.e2e.people import AS_ADMIN
from tests.e2e.rig import World, world_in

# app -> its repository; two share one.
APPS = {"alpha": "acme/alpha", "beta": "acme/beta", "gamma": "acme/mono", "delta": "acme/mono"}
ENVIRONMENTS = ("staging", "production")
CONFIG = """
{app}:
  repository: {repository}
  deploy: "sh ./deploy.sh"
  env: {{HERE: {folder}}}
  environments:
    staging: {{checks: []}}
    production: {{checks: [ci]}}
"""

# Says that it runs, writes a log whose length its number tells, and fails where its number is a multiple of seven.
SCRIPT = """
: "${HERE:?}"
echo "$KEDGE_APP#$KEDGE_NUMBER" >> "$HERE/executed"
lines=$((KEDGE_NUMBER * 37 % 200 + 20))
for i in $(seq $lines); do
  echo "$KEDGE_APP#$KEDGE_NUMBER line $i of $lines"
  [ $((i % 20)) = 0 ] && sleep 0.1
done
[ $((KEDGE_NUMBER % 7)) != 0 ] || exit 3
"""
WAVES = 10
FAILED = (None, 408, 500, 502, 503, 504)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


@dataclass
class Chaos:
    """One run: what was asked for so far, and who does it."""

    world: World
    random: random.Random
    deploys: int
    kills: int
    asked: dict[int, tuple[str, str]] = field(default_factory=dict)  # deployment id -> app, environment

    def prepare(self) -> None:
        github = self.world.github
        (app,) = (one for one in github.world.state.apps.values() if one.webhook_url)
        for repository in sorted(set(APPS.values())):
            github.add_repository(repository, private=True)
            github.set_permission(repository, "ana", "write")
            github.commit(repository, "main", {"deploy.sh": SCRIPT})
            github.set_status(repository, "main", "ci", "success")
        github.install(app.id, sorted(set(APPS.values())))
        texts = (CONFIG.format(app=name, repository=at, folder=self.world.folder) for name, at in APPS.items())
        (self.world.folder / "apps.yml").write_text("".join(texts))
        github.hooks.duplicate(2)

    async def ask(self) -> None:
        """Create the deployments in waves; each wave's deliveries go out shuffled, each of them twice."""
        hooks = self.world.github.hooks
        for wave in range(WAVES):
            hooks.hold()
            for _ in range(self.deploys * (wave + 1) // WAVES - len(self.asked)):
                app, environment = self.random.choice(list(APPS)), self.random.choice(ENVIRONMENTS)
                made = self.world.github.create_deployment(APPS[app], environment=environment, payload={"app": app})
                self.asked[made.id] = (app, environment)
            hooks.release(self._shuffled)
            await asyncio.sleep(self.random.uniform(0.5, 4))

    def _shuffled(self, deliveries: list[Delivery]) -> list[Delivery]:
        return self.random.sample(deliveries, len(deliveries))

    async def kill(self) -> None:
        """Kill the app or the runner at random moments, and start it again a little later."""
        for number in range(1, self.kills + 1):
            await asyncio.sleep(self.random.uniform(1, 9))
            who = self.random.choice(("app", "runner"))
            say(f"kill {number} of {self.kills}: {who}, at {dict(sorted((await self._counts()).items()))}")
            child = self.world.app if who == "app" else self.world.runner
            await self.world.kill(child)
            await asyncio.sleep(self.random.uniform(0, 2))
            await (self.world.start_app() if who == "app" else self.start_runner())

    async def start_runner(self) -> None:
        await self.world.start_runner("r1", KEDGE_RUNNER_SLOTS="4")

    async def redeliver(self) -> None:
        """As people do in the App's settings: have sent again what did not arrive."""
        hooks, done = self.world.github.hooks, 0
        while True:
            await asyncio.sleep(1)
            attempts, done = hooks.log[done:], len(hooks.log)
            arrived = {one.guid for one in hooks.log if one.status_code not in FAILED}
            for guid, delivery in {one.guid: one for one in attempts}.items():
                if guid not in arrived:
                    hooks.redeliver(delivery)

    async def ended(self) -> None:
        """Until every deploy has ended, GitHub was told, and was looked at once more."""
        while True:
            rows = await self._counts()
            owed = await self.world.rows("SELECT id FROM notices WHERE state = 'waiting'")
            known = sum(rows.values())
            live = sum(rows[state] for state in ("queued", "claimed", "running"))
            say(f"{known} of {self.deploys} deploys known, {dict(sorted(rows.items()))}, {len(owed)} notices owed")
            if known == self.deploys and not live and not owed:
                return
            await asyncio.sleep(5)

    async def _counts(self) -> Counter[str]:
        with suppress(Exception):  # the database file may not be there yet
            found = await self.world.rows("SELECT state, COUNT(*) AS count FROM deploys GROUP BY state")
            return Counter({str(row["state"]): int(row["count"]) for row in found})
        return Counter()

    async def run(self) -> None:
        """Everything at once; then wait until it has converged."""
        self.prepare()
        await self.world.start_app()
        await self.start_runner()
        redelivering = asyncio.create_task(self.redeliver())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.ask())
                group.create_task(self.kill())
            say("all is asked for and nobody is killed any more")
            await self.ended()
        finally:
            redelivering.cancel()
            with suppress(asyncio.CancelledError):
                await redelivering

    async def facts(self) -> list[Ended]:
        """What became of each deploy, from the database, GitHub, the log and the file outside."""
        executed = Counter((self.world.folder / "executed").read_text().split())
        rows = await self.world.rows(
            "SELECT d.id, d.number, d.state, d.deployment_id, d.environment_id, d.asked_at, d.started,"
            " a.name AS app"
            " FROM deploys d JOIN apps a ON a.id = d.app_id"
        )
        return [
            Ended(
                id=row["id"],
                name=f"{row['app']}#{row['number']}",
                number=row["number"],
                state=row["state"],
                environment_id=row["environment_id"],
                order=(row["asked_at"], row["deployment_id"]),
                deployment_id=row["deployment_id"],
                executed=executed[f"{row['app']}#{row['number']}"],
                never_began=row["state"] == "errored" and row["started"] == 0,
                shown=tuple(self.world.shown(row["deployment_id"])),
                log=await self._log(row["app"], row["number"]),
            )
            for row in rows
        ]

    async def _log(self, app: str, number: int) -> str:
        url = f"{self.world.url}/api/0/{app}/deploys/{number}/log"
        async with self.world.session.get(url, headers=AS_ADMIN, raise_for_status=True) as response:
            return await response.text()


def odd(world: World) -> list[str]:
    """A traceback in a process's log."""
    try:
        world.said_nothing_odd()
    except AssertionError as error:
        return [str(error)]
    return []


async def main(options: argparse.Namespace, folder: Path) -> int:
    """The exit code."""
    began = time.monotonic()
    url = options.database or f"sqlite:///{folder / 'kedge.sqlite'}"
    async with world_in(folder, url) as world:
        chaos = Chaos(world, random.Random(options.seed), options.deploys, options.kills)
        try:
            async with asyncio.timeout(options.minutes * 60):
                await chaos.run()
        except TimeoutError:
            say(f"it has not converged within {options.minutes} minutes\n{world.says()}")
            return 1
        events = await world.rows("SELECT id, deploy_id, kind FROM events WHERE deploy_id IS NOT NULL ORDER BY id")
        ended = await chaos.facts()
        wrong = verdict(ended, set(chaos.asked), [(row["deploy_id"], row["kind"]) for row in events])
        wrong += odd(world)
        kinds = Counter(row["kind"] for row in events)
        never = sum(one.never_began for one in ended)
    for line in wrong[:40]:
        say(f"WRONG: {line}")
    say(f"events: {dict(sorted(kinds.items()))}")
    say(
        f"{len(ended)} deploys, {sum(one.executed for one in ended)} commands executed, {never} never began, "
        f"{options.kills} kills, "
        f"{sum(len(one.log) for one in ended)} bytes of log, {time.monotonic() - began:.0f} s, "
        f"seed {options.seed}: {f'{len(wrong)} WRONG' if wrong else 'all right'}"
    )
    return 1 if wrong else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deploy a lot while app and runner are killed; then check everything.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--deploys", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--database", help="DATABASE_URL of an empty database (default: SQLite in a temporary folder)")
    parser.add_argument("--minutes", type=float, default=15, help="give up after this time")
    return parser.parse_args()


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp(prefix="kedge-chaos-"))
    code = asyncio.run(main(arguments(), place))
    if code:
        say(f"everything is kept in {place}")
    else:
        shutil.rmtree(place)
    sys.exit(code)
