"""A runner from claim to finish, against a strict app, with real git and real processes."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from ghapp import wire
from tests.integration.fake_app import RUNNER_TOKEN
from tests.integration.fake_github import REPO_TOKEN
from tests.integration.runner_world import World, until
from tests.integration.runner_world import world as make_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


async def test_a_deploy_succeeds(world: World) -> None:
    deploy = await world.see_through("sh deploy.sh; echo $KEDGE_REF in $REGION")
    assert deploy.state == "succeeded"
    assert deploy.output == "deploying\nmain in eu-1\n"
    assert deploy.log.startswith(b"[kedge] Preparing sentry")
    assert world.github.states == ["in_progress", "success"]
    assert world.github.shown[0]["log_url"] == "https://kedge.example.com/sentry/deploys/7"
    assert deploy.confirmed == ["in_progress", "success"]
    assert deploy.beaten
    assert deploy.starts[0].check_counter == 3


async def test_a_command_that_tells_of_checks_sees_the_commit_alone(world: World, tmp_path: Path) -> None:
    tells = f"env | grep ^KEDGE_ | sort > {tmp_path}/seen; echo ci success"
    deploy = await world.see_through("true", checks_command=tells)
    assert deploy.state == "succeeded"
    job = deploy.job
    seen = f"KEDGE_APP={job.app}\nKEDGE_ENV={job.environment}\nKEDGE_REF={job.ref}\nKEDGE_SHA={job.sha}\n"
    assert (tmp_path / "seen").read_text() == seen


async def test_the_exit_code_is_reported(world: World) -> None:
    deploy = await world.see_through("echo no; exit 7")
    assert (deploy.state, deploy.finishes[0].exit_code) == ("failed", 7)
    assert world.github.states == ["in_progress", "failure"]


async def test_a_signal_is_reported(world: World) -> None:
    deploy = await world.see_through("kill -9 $$")
    assert (deploy.state, deploy.finishes[0].exit_code, deploy.finishes[0].signal) == ("failed", None, 9)


async def test_it_ends_at_its_timeout(world: World) -> None:
    deploy = await world.see_through("echo begun; sleep 600", timeout=1)
    assert (deploy.state, deploy.finishes[0].ended_by) == ("failed", "timeout")
    assert deploy.output == "begun\n"
    assert b"[kedge] It ran longer than its timeout" in deploy.log


async def test_what_cannot_be_cloned_ends_as_error_with_the_details_in_the_log(world: World) -> None:
    repository = msgspec.structs.replace(world.job("true").repository, clone_url="file:///nowhere/at/all")
    deploy = await world.see_through("touch executed", repository=repository)
    finish = deploy.finishes[0]
    assert (deploy.state, finish.ended_by, finish.started) == ("errored", "error", False)
    assert finish.reason
    assert b"nowhere/at/all" in deploy.log
    assert deploy.starts == []
    assert world.github.states == ["error"]


async def test_an_unknown_sha_ends_as_error(world: World) -> None:
    deploy = await world.see_through("true", sha="0123456789" * 4)
    assert (deploy.state, deploy.finishes[0].started) == ("errored", False)
    assert "0123456789" in deploy.finishes[0].reason or b"0123456789" in deploy.log


async def test_a_pending_check_holds_it(world: World) -> None:
    world.github.contexts = {"ci": "pending", "lint": "success"}
    deploy = await world.see_through("touch executed")
    ((call, hold),) = deploy.given_back
    assert call == "hold"
    assert [(blocker.kind, blocker.message) for blocker in hold.blockers] == [("checks", "Waiting for check ci.")]
    assert {check.key: check.state for check in hold.checks} == {"status/ci": "pending", "status/lint": "success"}
    assert hold.check_counter == 3
    assert deploy.starts == []
    assert world.github.shown == []


async def test_a_red_check_rejects_it_although_another_is_pending(world: World) -> None:
    world.github.contexts = {"ci": "failure", "lint": "pending"}
    deploy = await world.see_through("true")
    ((call, hold),) = deploy.given_back
    assert (call, [blocker.message for blocker in hold.blockers]) == ("reject", ["Check ci failed."])
    assert deploy.state == "rejected"


async def test_a_named_check_that_is_missing_holds_it(world: World) -> None:
    deploy = await world.see_through("true", checks=["ci", "e2e"])
    ((call, hold),) = deploy.given_back
    assert (call, len(hold.blockers), "e2e" in hold.blockers[0].message) == ("hold", 1, True)


async def test_no_checks_are_asked_for(world: World) -> None:
    world.github.contexts = {"ci": "failure"}
    deploy = await world.see_through("true", checks=[])
    assert deploy.state == "succeeded"
    assert "checks" not in world.github.requests


@pytest.mark.parametrize("forced", ["checks", "all"])
async def test_forced_through_the_checks(world: World, forced: str) -> None:
    world.github.contexts = {"ci": "failure"}
    deploy = await world.see_through("true", forced=[forced], forced_by="alice")
    assert deploy.state == "succeeded"


async def test_forced_through_a_lock_is_not_forced_through_checks(world: World) -> None:
    world.github.contexts = {"ci": "failure"}
    deploy = await world.see_through("true", forced=["lock"], forced_by="alice")
    assert deploy.state == "rejected"


@pytest.mark.parametrize(("fetched", "told"), [("success", "failure"), ("failure", "success")])
async def test_an_event_newer_than_the_fetch_neither_opens_nor_rejects(world: World, fetched: str, told: str) -> None:
    world.github.contexts = {"ci": fetched}
    event = wire.WireCheck(key="status/ci", name="ci", state=told, at="2026-11-23T16:05:00Z")  # type: ignore[arg-type]
    deploy = await world.see_through("true", checks_newest=[event])
    assert [call for call, _ in deploy.given_back] == ["hold"]


async def test_an_event_older_than_the_fetch_has_no_say(world: World) -> None:
    event = wire.WireCheck(key="status/ci", name="ci", state="failure", at="2026-11-23T15:00:00Z")
    deploy = await world.see_through("true", checks_newest=[event])
    assert deploy.state == "succeeded"


async def test_checks_that_cannot_be_read_keep_it_closed(world: World) -> None:
    world.github.faults["checks"].extend([500] * 3)
    deploy = await world.see_through("true")
    ((call, hold),) = deploy.given_back
    assert (call, hold.blockers[0].kind, hold.checks) == ("hold", "provider", [])


async def test_one_failed_read_is_repeated(world: World) -> None:
    world.github.faults["checks"].append(502)
    deploy = await world.see_through("true")
    assert deploy.state == "succeeded"


async def test_without_a_token_it_stays_closed(world: World) -> None:
    deploy = await world.see_through("true", repo_token=None)
    assert [(call, hold.blockers[0].kind) for call, hold in deploy.given_back] == [("hold", "provider")]


@pytest.mark.parametrize(
    ("accepted", "job", "says"),
    [
        (("other",), {}, "KEDGE_RUNNER_APPS"),
        (None, {"defined_in": "repository"}, "getsentry/sentry"),
        (("sentry",), {"defined_in": "repository"}, "getsentry/sentry"),
        (None, {"secrets": ["DEPLOY_KEY", "OTHER_KEY"]}, "DEPLOY_KEY and OTHER_KEY"),
        (None, {"secrets": ["KEDGE_RUNNER_TOKEN"]}, "KEDGE_RUNNER_TOKEN"),
        (("getsentry/sentry",), {"defined_in": "repository", "secrets": ["PATH"]}, "PATH"),
    ],
)
async def test_it_refuses_by_its_own_authority(
    world: World, accepted: tuple[str, ...] | None, job: dict[str, object], says: str
) -> None:
    world.apps = accepted
    deploy = await world.see_through("true", **job)
    ((call, hold),) = deploy.given_back
    assert call == "reject"
    assert says in hold.blockers[0].message
    assert world.github.requests == []


async def test_an_unknown_provider_is_refused(world: World) -> None:
    repository = msgspec.structs.replace(world.job("true").repository, provider="gitthub")
    deploy = await world.see_through("true", repository=repository)
    assert deploy.given_back[0][0] == "reject"
    assert "gitthub" in deploy.given_back[0][1].blockers[0].message


async def test_the_environment_is_built_from_nothing(world: World) -> None:
    world.shared = ("EDITOR",)
    world.environ |= {"EDITOR": "ed", "AWS_KEY": "do not tell", "DEPLOY_KEY": "the-key", "LANG": "C.UTF-8"}
    deploy = await world.see_through(
        "env | sort; cat /proc/$PPID/environ | tr '\\0' '\\n'", secrets=["DEPLOY_KEY"], env={"KEDGE_APP": "fake"}
    )
    seen = dict(line.split("=", 1) for line in deploy.output.splitlines())
    seen.pop("OLDPWD", None)
    assert seen.pop("KEDGE_DEPLOY_ID").startswith("1-")
    assert Path(seen.pop("PWD")).is_relative_to(world.workdir)
    assert seen == {
        "PATH": world.environ["PATH"],
        "HOME": world.environ["HOME"],
        "LANG": "C.UTF-8",
        "EDITOR": "ed",
        "DEPLOY_KEY": "*******",
        "KEDGE_APP": "sentry",
        "KEDGE_REF": "main",
        "KEDGE_LOG_URL": "https://kedge.example.com/sentry/deploys/7",
        "PYTHONUNBUFFERED": "1",
    }
    for secret in (RUNNER_TOKEN, REPO_TOKEN, deploy.lease):
        assert secret.encode() not in deploy.log


async def test_a_log_that_the_command_reopens_stays_whole(world: World) -> None:
    deploy = await world.see_through("echo one; echo two | tee /dev/stderr; echo three > /dev/stdout; echo four")
    assert deploy.output == "one\ntwo\ntwo\nthree\nfour\n"


async def test_a_big_log_arrives_byte_for_byte(world: World) -> None:
    size = 20 << 20
    made = f"head -c {size} /dev/urandom > big; sha256sum < big > ../sum; cat big"
    deploy = await world.see_through(made, deployment_id=None)
    assert deploy.state == "succeeded"
    log = deploy.log[-size:]
    found = next(world.workdir.rglob("sum"))
    assert hashlib.sha256(log).hexdigest() == found.read_text().split()[0]
    assert deploy.finishes[0].log_end == len(deploy.log)
    assert max(map(len, deploy.chunks.values())) == wire.LOG_CHUNK


async def test_lines_are_followed_while_it_runs(world: World) -> None:
    deploy = world.ask(f"echo first; {world.wait_for('go')}; echo last")
    async with world.running():
        await until(lambda: "first" in deploy.output)
        assert deploy.state == "running"
        (world.folder / "go").touch()
        await world.ended(deploy)
    assert deploy.output == "first\nlast\n"


async def test_two_slots_run_two_deploys_at_once(world: World) -> None:
    meet = f"touch {world.folder}/$KEDGE_ME; {world.wait_for('$KEDGE_OTHER')}"
    deploys = [
        world.ask(meet, variables={"KEDGE_ME": me, "KEDGE_OTHER": other}) for me, other in (("a", "b"), ("b", "a"))
    ]
    async with world.running(slots=2):
        for deploy in deploys:
            await world.ended(deploy)
    assert [deploy.state for deploy in deploys] == ["succeeded", "succeeded"]


async def test_daemons_do_not_hold_the_deploy(world: World) -> None:
    deploy = await world.see_through("echo $$; (sleep 30; echo late) & echo done")
    assert deploy.state == "succeeded"
    assert b"[kedge] Still running" in deploy.log


async def test_a_deploy_the_provider_does_not_know_gets_no_status(world: World) -> None:
    deploy = await world.see_through("true", deployment_id=None)
    assert (deploy.state, world.github.shown, deploy.confirmed) == ("succeeded", [], [])


async def test_a_status_that_is_not_granted_is_not_written(world: World) -> None:
    deploy = world.ask("true")
    deploy.grants = False
    async with world.running():
        await world.ended(deploy)
    assert (deploy.state, world.github.shown, deploy.confirmed) == ("succeeded", [], [])
