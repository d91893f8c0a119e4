"""What the runner decides by itself, without a network: which jobs it accepts, what commands see, how long it waits."""

from typing import Any

import msgspec
import pytest

from ghapp import wire
from runner import admission, environment
from runner.backoff import Backoff
from runner.client import pack
from runner.secrets import Secrets

JOB = wire.Job(
    id=1,
    app="sentry",
    number=1,
    environment="staging",
    task="deploy",
    sha="a" * 40,
    ref="main",
    user="alice",
    door="api",
    forced_by=None,
    forced=[],
    repository=wire.WireRepository(id=1, full_name="getsentry/sentry", clone_url="", provider="github", api_url=""),
    deployment_id=None,
    command="true",
    variables={"KEDGE_APP": "sentry"},
    env={},
    secrets=[],
    checks=None,
    own_checks=[],
    checks_newest=[],
    check_counter=0,
    timeout=1,
    silence=None,
    grace=1,
    log_limit=1,
    previous_sha=None,
    log_url="https://kedge.example.com/sentry/deploys/1",
    defined_in="operator",
    lease="lease",
)


def job(**other: Any) -> wire.Job:
    return msgspec.structs.replace(JOB, **other)


@pytest.mark.parametrize(
    ("accepted", "defined_in", "accepts"),
    [
        (None, "operator", True),
        (None, "repository", False),
        (("sentry",), "operator", True),
        (("sentry",), "repository", False),
        (("GetSentry/Sentry",), "operator", True),
        (("GetSentry/Sentry",), "repository", True),
        (("getsentry/other", "other"), "operator", False),
        ((), "operator", False),
    ],
)
def test_which_jobs_it_accepts(accepted: tuple[str, ...] | None, defined_in: str, accepts: bool) -> None:
    assert admission.accepts(job(defined_in=defined_in), accepted) is accepts


def test_foreign_code_is_not_loaded_for_a_repository() -> None:
    repository = msgspec.structs.replace(JOB.repository, provider="antigravity:Class")
    foreign = job(repository=repository, defined_in="repository")
    (blocker,) = admission.refusals(foreign, runner="box", accepted=("getsentry/sentry",), secrets=Secrets())
    assert "antigravity:Class" in blocker.message


def test_who_wins_in_a_commands_environment() -> None:
    seen = environment.build(
        job(env={"PATH": "/opt/bin", "KEDGE_APP": "fake", "PYTHONUNBUFFERED": "", "KEY": "fake"}, secrets=["KEY"]),
        environ={"PATH": "/bin", "KEY": "own", "KEDGE_RUNNER_TOKEN": "secret", "OTHER": "secret"},
        shared=("KEDGE_RUNNER_TOKEN",),
        secrets={"KEY": "real"},
    )
    assert seen == {
        "PATH": "/opt/bin",
        "PYTHONUNBUFFERED": "",
        "KEY": "real",
        "KEDGE_APP": "sentry",
        "KEDGE_LOG_URL": JOB.log_url,
    }


def test_waits_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(1, 30)
    waits = [backoff.next() for _ in range(50)]
    for wait, full in zip(waits, [1, 2, 4, 8, 16, *[30] * 45], strict=True):
        assert full / 2 <= wait <= full
    backoff.reset()
    assert backoff.next() <= 1


@pytest.mark.parametrize(
    ("data", "codec"), [(b"x" * 1000, "zstd"), (bytes(range(256)) * 2, "zstd"), (b"x", "identity")]
)
def test_pieces_are_packed_where_it_helps(data: bytes, codec: str) -> None:
    found, packed = pack(data)
    assert (found, len(packed) <= len(data)) == (codec, True)


def test_nothing_tells_a_lease() -> None:
    assert "s3cret" not in repr(job(lease="s3cret"))
