"""Secrets and limits of a log on a running runner: what is handed to the command and what leaves the machine."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ghapp import wire
from tests.integration.fake_app import RUNNER_TOKEN, Fault
from tests.integration.fake_github import REPO_TOKEN
from tests.integration.runner_world import World, bind, killed, until
from tests.integration.runner_world import world as make_world

KEY = "s3cret-value/with+signs"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


async def test_a_bound_secret_reaches_the_command_and_not_the_log(world: World) -> None:
    bind(world, f"sentry/*: {{DEPLOY_KEY: {KEY}}}")
    command = f"""
    [ "$DEPLOY_KEY" = "{KEY}" ] && echo "the command has it"
    printf 's3cret-'; {world.wait_for("go")}; printf 'value/with+signs\\n'
    printf %s "user:$DEPLOY_KEY" | base64
    echo "::add-mask::minted-while-running"; echo minted-while-running
    """
    deploy = world.ask(command, secrets=["DEPLOY_KEY"])
    async with world.running():
        await until(lambda: b"the command has it" in deploy.log)
        (world.folder / "go").touch()
        await world.ended(deploy)
    assert deploy.state == "succeeded"
    assert b"\n" + b"*" * len(KEY) + b"\n" in deploy.log
    assert b"::add-mask::********************\n********************\n" in deploy.log
    for secret in (b"s3cret", b"czNjcmV0", b"zM2NyZXQtdmFsdW", b"minted"):
        assert secret not in deploy.log


async def test_without_a_binding_the_job_is_rejected_with_the_sentence(world: World) -> None:
    bind(world, f"sentry/other: {{DEPLOY_KEY: {KEY}}}")
    deploy = await world.see_through(world.tally(), secrets=["DEPLOY_KEY"], environment="production")
    ((call, hold),) = deploy.given_back
    assert call == "reject" and hold.blockers[0].kind == "config"
    assert "DEPLOY_KEY bound to sentry/production" in hold.blockers[0].message
    assert "KEDGE_SECRETS" in hold.blockers[0].message
    assert world.times("runs") == 0


async def test_a_secret_that_cannot_be_had_ends_the_deploy_with_the_reason(world: World) -> None:
    bind(world, "sentry/*: {DEPLOY_KEY: {command: 'echo s3cret-part; exit 7'}}")
    deploy = await world.see_through(world.tally(), secrets=["DEPLOY_KEY"])
    assert deploy.state == "errored" and "DEPLOY_KEY ended with exit code 7" in deploy.finishes[0].reason
    assert b"s3cret" not in deploy.log and world.times("runs") == 0


async def test_the_repositorys_token_only_where_it_is_asked_for_and_masked(world: World) -> None:
    command = 'echo "token: ${KEDGE_REPO_TOKEN-none}"; echo "length ${#KEDGE_REPO_TOKEN}"'
    without = await world.see_through(command)
    assert without.output.startswith("token: none\n")
    given = await world.see_through(command, token=True)
    assert given.output.startswith(f"token: {'*' * len(REPO_TOKEN)}\nlength {len(REPO_TOKEN)}\n")


async def test_masks_outlive_the_runner(world: World) -> None:
    """A runner is killed in mid-output: its successor knows the bound secrets and those the command added."""
    path = bind(world, f"sentry/*: {{DEPLOY_KEY: {KEY}}}")
    command = f"""
    echo "::add-mask::minted-while-running"; echo first
    {world.wait_for("go")}; echo "$DEPLOY_KEY minted-while-running"
    """
    deploy = world.ask(command, secrets=["DEPLOY_KEY"])
    first = await world.process(KEDGE_SECRETS=str(path))
    await until(lambda: b"first" in deploy.log)
    await killed(first)
    (world.folder / "go").touch()
    second = await world.process(KEDGE_SECRETS=str(path))
    await world.ended(deploy)
    second.send_signal(signal.SIGTERM)
    await second.wait()
    assert deploy.state == "succeeded"
    assert b"*" * len(KEY) + b" " + b"*" * 20 + b"\n" in deploy.log


async def test_what_a_command_was_not_given_but_can_read_is_masked(world: World) -> None:
    """The lease, the tokens of job and runner; also by the runner that takes the deploy up again."""
    (world.folder / "token").write_text(RUNNER_TOKEN)
    read = f"cat {world.workdir}/journal/*/job {world.folder}/token"
    deploy = world.ask(f"{read}; echo first; {world.wait_for('go')}; {read}; echo last")
    first = await world.process()
    await until(lambda: b"first" in deploy.log)
    lease = deploy.lease
    await killed(first)
    (world.folder / "go").touch()
    second = await world.process()
    await world.ended(deploy)
    second.send_signal(signal.SIGTERM)
    await second.wait()
    assert deploy.state == "succeeded" and deploy.log.count(b'"lease":"*') == 2
    for secret in (lease, REPO_TOKEN, RUNNER_TOKEN):
        assert secret and secret.encode() not in deploy.log


async def test_a_token_that_comes_later_is_masked(world: World) -> None:
    deploy = world.ask(f"echo first; {world.wait_for('go')}; echo gh''s_Renewed")
    async with world.running():
        await until(lambda: b"first" in deploy.log and "in_progress" in deploy.confirmed)
        for _ in range(2):  # the first may be the answer to a beat that was given up
            deploy.renewed = wire.WireToken(value="ghs_Renewed", expires_at="2026-11-23T19:00:00Z")
            deploy.poke.set()
            await until(lambda: deploy.renewal_heard)
        beats = len(deploy.beats)
        await until(lambda: len(deploy.beats) > beats)
        (world.folder / "go").touch()
        await world.ended(deploy)
    assert b"\n***********\n" in deploy.log


async def test_a_log_beyond_its_limit_keeps_head_and_tail(world: World) -> None:
    deploy = await world.see_through("seq 100000", log_limit=10_000)
    assert deploy.state == "succeeded"
    head, _, rest = deploy.log.partition(b"\n[kedge: log_limit (10000 bytes) is reached")
    assert len(head) == 5000 and b"\n1\n2\n3\n" in head
    assert b"bytes are left out here]\n" in rest and rest.endswith(b"99999\n100000\n")


async def test_an_app_that_is_away_gets_everything_afterwards_in_order(world: World) -> None:
    """However long: nothing of the spool is dropped before the app has it."""
    deploy = world.ask(f"{world.wait_for('go')}; seq 300000")
    async with world.running():
        await until(lambda: deploy.state == "running")
        world.app.always = dict.fromkeys(("log", "beat", "finish"), Fault())
        (world.folder / "go").touch()
        await until(
            lambda: any(b"\n300000\n" in path.read_bytes()[-100:] for path in world.workdir.glob("journal/*/output"))
        )
        world.app.always = {}
        await world.ended(deploy)
    assert deploy.state == "succeeded"
    assert deploy.output == "".join(f"{number}\n" for number in range(1, 300_001))
