"""How a deploy ends, and the log that leads up to it."""

import pytest
import zstandard

from ghapp.service import logs
from tests.protocol.rig import Rig

ENDS = [
    # ended_by, exit code, signal, cancelled before -> state, reason
    ("exit", 0, None, False, "succeeded", ""),
    ("exit", 3, None, False, "failed", "the command ended with exit code 3"),
    ("exit", None, 9, False, "failed", "the command was ended by signal 9"),
    ("exit", 0, None, True, "succeeded", ""),
    ("exit", 1, None, True, "failed", "the command ended with exit code 1"),
    ("timeout", None, 15, False, "failed", "it ran longer than its timeout of 30 min"),
    ("timeout", None, 15, True, "failed", "it ran longer than its timeout of 30 min"),
    ("silence", None, 15, False, "failed", "it wrote nothing for 2 min"),
    ("cancel", None, 15, True, "cancelled", "by bob"),
    ("cancel", None, 15, False, "errored", ""),
    ("error", None, None, False, "errored", ""),
    ("error", None, None, True, "errored", ""),
]
CONFIG = "hello: {repository: acme/hello, deploy: ./d, silence: 2m, environments: {staging: {}}}"


@pytest.mark.parametrize(("ended_by", "exit_code", "signal", "cancelled", "state", "reason"), ENDS)
async def test_every_way_to_end(
    rig: Rig, ended_by: str, exit_code: int | None, signal: int | None, cancelled: bool, state: str, reason: str
) -> None:
    await rig.config(CONFIG)
    deploy, job = await rig.started()
    if cancelled:
        await rig.cancel(deploy)
    status, answer = await rig.finish(job, ended_by, exit_code=exit_code, signal=signal)
    after = await rig.get(deploy)
    assert (status, answer["state"], after.state, after.reason) == (200, state, state, reason)
    assert after.ended_by == ended_by


async def test_what_the_runner_adds_is_told_too(rig: Rig) -> None:
    deploy, job = await rig.started()
    await rig.finish(job, "exit", exit_code=1, reason="2 daemons were left running")
    assert (await rig.get(deploy)).reason == "the command ended with exit code 1 – 2 daemons were left running"


async def test_the_same_again_gets_the_same_answer(rig: Rig) -> None:
    """The trace: the answer to a finish is lost; its runner asks again and must not be told that it is too late."""
    deploy, job = await rig.started()
    await rig.beat(job, status_written="in_progress")
    first = await rig.finish(job, exit_code=3, log_end=5)
    ended = await rig.get(deploy)
    assert await rig.finish(job, exit_code=3, log_end=5) == first
    assert await rig.get(deploy) == ended


@pytest.mark.parametrize(
    ("ended_by", "changes"),
    [("exit", {"exit_code": 0}), ("exit", {"signal": 9}), ("timeout", {}), ("error", {}), ("exit", {"started": False})],
)
async def test_another_end_is_too_late(rig: Rig, ended_by: str, changes: dict[str, object]) -> None:
    """I5; the trace: two supervisors of one deploy report, and the last one counts."""
    deploy, job = await rig.started()
    await rig.finish(job, "exit", exit_code=1)
    status, answer = await rig.finish(job, ended_by, **{"exit_code": 1, **changes})
    said = "Too late: hello#1 has already failed."
    assert (status, answer["state"], answer["too_late"], answer["status"]) == (200, "failed", said, None)
    assert (await rig.get(deploy)).exit_code == 1


async def test_it_ends_before_it_started(rig: Rig) -> None:
    """The clone failed: nothing ran."""
    deploy = await rig.deployment()
    job = await rig.claimed()
    _, answer = await rig.finish(job, "error", started=False, exit_code=None, reason="The clone failed.")
    assert (answer["state"], answer["status"]["state"]) == ("errored", "error")
    assert "The clone failed." in answer["status"]["description"]
    after = await rig.get(deploy)
    assert (after.started, after.reason) == (0, "The clone failed.")


async def test_an_end_that_is_no_time_is_refused(rig: Rig) -> None:
    _, job = await rig.started()
    for wrong in ({"ended_at": "yesterday"}, {"ended_by": "luck"}, {"exit_code": "0"}):
        assert (await rig.finish(job, **wrong))[0] == 422


# The log


async def test_chunks_may_be_repeated_overlap_and_come_in_any_order(rig: Rig) -> None:
    """The trace: the answer to a chunk is lost; sent again it must not stand there twice."""
    deploy, job = await rig.started()
    assert await rig.log(job, 6, b"world\n") == (200, {"end": 0}), "nothing is whole yet"
    assert await rig.log(job, 0, b"hello ") == (200, {"end": 12})
    assert await rig.log(job, 0, b"hello ") == (200, {"end": 12})
    assert await rig.log(job, 3, b"lo world\nmore\n") == (200, {"end": 17})
    assert await rig.log(job, 20, b"later") == (200, {"end": 17})
    text, start, end = await logs.tail(rig.ctx, await rig.get(deploy), 100)
    assert (text, start, end) == ("hello world\nmore\n", 0, 17)


async def test_offsets_count_bytes_before_compression(rig: Rig) -> None:
    _, job = await rig.started()
    body = zstandard.ZstdCompressor().compress("größer\n".encode() * 1000)
    path = f"/api/0/runner/deploys/{job['id']}/log?offset=0&codec=zstd"
    assert await rig.post(path, job["lease"], data=body) == (200, {"end": 9000})


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("offset=-1", b"x", 422),
        ("offset=one", b"x", 422),
        ("", b"x", 422),
        ("offset=0&codec=gzip", b"x", 422),
        ("offset=0&codec=zstd", b"not zstd", 422),
        ("offset=0", b"x" * ((1 << 20) + 1), 413),
        ("offset=0&codec=zstd", zstandard.ZstdCompressor().compress(bytes((1 << 20) + 1)), 413),
    ],
)
async def test_chunks_that_could_not_be_read_later_are_refused(rig: Rig, query: str, body: bytes, status: int) -> None:
    _, job = await rig.started()
    answer = await rig.post(f"/api/0/runner/deploys/{job['id']}/log?{query}", job["lease"], data=body)
    assert answer[0] == status
    assert await rig.log(job, 0, b"") == (200, {"end": 0})


async def test_the_log_is_taken_until_its_end_after_the_deploy_has_ended(rig: Rig) -> None:
    """The trace: the command ends while a megabyte of its log is still on its way."""
    _, job = await rig.started()
    await rig.log(job, 0, b"begin ")
    await rig.finish(job, log_end=11)
    assert await rig.log(job, 6, b"after") == (200, {"end": 11})
    assert await rig.log(job, 6, b"after") == (200, {"end": 11}), "again"
    status, answer = await rig.log(job, 11, b"too much")
    assert (status, answer["error"]["code"]) == (409, "lease_over")


async def test_the_log_of_one_declared_dead_is_not_taken(rig: Rig) -> None:
    deploy, job = await rig.started()
    await rig.pass_s(61)
    await rig.declare_dead(deploy)
    status, answer = await rig.log(job, 0, b"still alive")
    assert (status, answer["error"]["code"]) == (410, "declared_dead")
