"""`GitHubRepository` against a strict stand-in: what it asks, and what it makes of the answers."""

import pytest

from ghapp.core.checks import CheckState
from ghapp.core.remote import Forbidden, Refused, Unavailable
from ghapp.core.values import DeploymentStatus
from ghapp.vcs.github import GitHubRepository
from tests.integration.github.stand_in import SHA, Reply, StandIn, error, run, status, suite

STATUS = f"GET /repos/o/r/commits/{SHA}/status?per_page=100"
SUITES = f"GET /repos/o/r/commits/{SHA}/check-suites?per_page=100"
RUNS = f"GET /repos/o/r/commits/{SHA}/check-runs?filter=latest&per_page=100"
STATUSES = "/repos/o/r/deployments/5/statuses"


def checks_are(github: StandIn, *, statuses: object = (), suites: object = (), runs: object = ()) -> None:
    github.on(STATUS, {"state": "success", "statuses": statuses})
    github.on(SUITES, {"total_count": 0, "check_suites": suites})
    github.on(RUNS, {"total_count": 0, "check_runs": runs})


async def test_checks_are_statuses_runs_and_unfinished_suites(github: StandIn, repository: GitHubRepository) -> None:
    checks_are(
        github,
        statuses=[status("ci", "error", id=3)],
        runs=[run("build", id=4), run("build", id=5, app_id=8, status="in_progress", completed_at=None)],
        suites=[
            suite(20),
            suite(21, status="completed", conclusion="success"),
            suite(22, status="queued", latest_check_runs_count=0),
        ],
    )
    found = {check.key: check for check in await repository.checks(SHA)}
    assert {key: check.state for key, check in found.items()} == {
        "status/ci": CheckState.FAILURE,
        "run/7/build": CheckState.SUCCESS,
        "run/8/build": CheckState.PENDING,
        "suite/7/20": CheckState.PENDING,
    }
    assert found["suite/7/20"].name == "CI"
    assert (found["status/ci"].at, found["status/ci"].serial) == (1714557605000, 3)
    assert (found["run/7/build"].at, found["run/8/build"].at) == (1714557660000, 1714557600000)
    assert found["run/7/build"].url == "https://github.com/o/r/runs/4"


async def test_suites_are_read_before_runs(github: StandIn, repository: GitHubRepository) -> None:
    """Else a suite could complete in between, with a red run that the earlier read did not show."""
    checks_are(github)
    await repository.checks(SHA)
    assert github.calls().index(SUITES) < github.calls().index(RUNS)


async def test_all_pages_are_read(github: StandIn, repository: GitHubRepository) -> None:
    checks_are(github)
    second, third = f"/repositories/1/commits/{SHA}/status?per_page=100&page=2", "/repositories/1/x?page=3"
    first_page = {"statuses": [status("a")]}
    github.on(STATUS, Reply(first_page, headers={"Link": f'<{{url}}{second}>; rel="next", <{{url}}/z>; rel="last"'}))
    github.on(f"GET {second}", Reply({"statuses": [status("b")]}, headers={"Link": f'<{{url}}{third}>; rel="next"'}))
    github.on(f"GET {third}", Reply({"statuses": [status("c")]}, headers={"Link": f'<{{url}}{second}>; rel="prev"'}))
    assert [check.name for check in await repository.checks(SHA)] == ["a", "b", "c"]


@pytest.mark.parametrize("call", [STATUS, SUITES, RUNS])
async def test_what_cannot_be_read_is_an_error_and_never_green(
    github: StandIn, repository: GitHubRepository, call: str
) -> None:
    checks_are(github)
    github.on(call, error(403, "Resource not accessible by integration"))
    with pytest.raises(Forbidden, match="Resource not accessible by integration"):
        await repository.checks(SHA)


@pytest.mark.parametrize(
    "answer",
    [{}, [], None, {"statuses": None}, {"statuses": ["x"]}, {"statuses": [{"state": 7}]}, b"<html>", b"", b'"\xff"'],
)
async def test_an_answer_of_another_shape_is_not_green(
    github: StandIn, repository: GitHubRepository, answer: object
) -> None:
    checks_are(github)
    github.on(STATUS, answer)
    with pytest.raises(Unavailable, match="cannot be understood"):
        await repository.checks(SHA)


async def test_a_status_is_written(github: StandIn, repository: GitHubRepository) -> None:
    github.on(f"POST {STATUSES}", Reply({"id": 1, "state": "success"}, 201))
    await repository.create_status(
        5, DeploymentStatus("success", "x" * 141, log_url="https://k/1", environment_url="https://e")
    )
    await repository.create_status(5, DeploymentStatus("failure", "ü" * 140))
    first, second = (asked.body for asked in github.asked)
    assert first == {
        "state": "success",
        "description": "x" * 139 + "…",
        "log_url": "https://k/1",
        "environment_url": "https://e",
        "auto_inactive": False,
    }
    assert second == {"state": "failure", "description": "ü" * 140, "auto_inactive": False}


async def test_a_refused_status_says_why(github: StandIn, repository: GitHubRepository) -> None:
    errors = [
        {"resource": "DeploymentStatus", "field": "state", "code": "custom", "message": "state is not included"},
        {"resource": "DeploymentStatus", "field": "log_url", "code": "invalid"},
        "too bad",
    ]
    github.on(f"POST {STATUSES}", error(422, "Validation Failed", errors=errors))
    with pytest.raises(Refused) as refused:
        await repository.create_status(5, DeploymentStatus("odd", ""))
    assert refused.value.status == 422
    assert refused.value.message == (
        "GitHub answered 422 to POST /repos/o/r/deployments/5/statuses: Validation Failed; state is not included; "
        "DeploymentStatus log_url invalid; too bad"
    )


async def test_the_newest_status_is_the_first(github: StandIn, repository: GitHubRepository) -> None:
    shown = {"state": "in_progress", "description": "on it", "created_at": "2024-05-01T10:00:00Z"}
    github.on(
        f"GET {STATUSES}?per_page=1",
        [],
        [{**shown, "log_url": "https://k/1"}],
        [{**shown, "description": None, "log_url": "", "target_url": "https://k/2"}],
    )
    assert await repository.newest_status(5) is None
    newest = await repository.newest_status(5)
    assert newest is not None
    assert (newest.state, newest.description, newest.created_at) == ("in_progress", "on it", 1714557600000)
    assert newest.log_url == "https://k/1"
    older = await repository.newest_status(5)
    assert older is not None
    assert (older.description, older.log_url) == ("", "https://k/2")


@pytest.mark.parametrize(
    ("answer", "role"),
    [
        ({"permission": "write", "role_name": "maintain"}, "maintain"),
        ({"permission": "read", "role_name": "triage"}, "triage"),
        ({"permission": "write", "role_name": "release-manager"}, "write"),
        ({"permission": "admin"}, "admin"),
        ({"permission": "none", "role_name": ""}, "none"),
        ({"permission": "odd", "role_name": None}, "none"),
        (error(404, "octocat is not a user"), "none"),
    ],
)
async def test_permission(github: StandIn, repository: GitHubRepository, answer: object, role: str) -> None:
    github.on("GET /repos/o/r/collaborators/octocat/permission", answer)
    assert await repository.permission("octocat") == role


async def test_odd_user_names_stay_names(github: StandIn, repository: GitHubRepository) -> None:
    github.on("GET /repos/o/r/collaborators/deploy%5Bbot%5D/permission", {"permission": "read"})
    github.on("GET /repos/o/r/collaborators/a%2F..%2F%3Fb%23/permission", {"permission": "read"})
    assert await repository.permission("deploy[bot]") == "read"
    assert await repository.permission("a/../?b#") == "read"
    assert await repository.permission("..") == "none"  # and asks nothing
    assert len(github.asked) == 2


async def test_a_permission_that_may_not_be_read_is_an_error(github: StandIn, repository: GitHubRepository) -> None:
    github.on("GET /repos/o/r/collaborators/octocat/permission", error(403, "Resource not accessible by integration"))
    with pytest.raises(Forbidden):
        await repository.permission("octocat")


async def test_team_membership(github: StandIn, repository: GitHubRepository) -> None:
    github.on("GET /orgs/o/teams/ops/memberships/alice", {"state": "active", "role": "member"})
    github.on("GET /orgs/other/teams/ops/memberships/alice", {"state": "pending", "role": "member"})
    github.on("GET /orgs/o/teams/ops/memberships/bob", error(404, "Not Found"))
    assert await repository.in_team("ops", "alice")
    assert await repository.in_team("o/ops", "alice")
    assert not await repository.in_team("other/ops", "alice")
    assert not await repository.in_team("ops", "bob")


@pytest.mark.parametrize(
    ("answer", "contained"),
    [
        ({"status": "behind"}, True),
        ({"status": "identical"}, True),
        ({"status": "ahead"}, False),
        ({"status": "diverged"}, False),
        (error(404, "Not Found"), False),
    ],
)
async def test_reachable_from_a_branch(
    github: StandIn, repository: GitHubRepository, answer: object, contained: bool
) -> None:
    github.on(f"GET /repos/o/r/compare/refs%2Fheads%2Frelease%2F1%232...{SHA}?per_page=1", answer)
    assert await repository.reachable(SHA, ["release/1#2"]) is contained


async def test_reachable_by_pattern(github: StandIn, repository: GitHubRepository) -> None:
    github.on(f"GET /repos/o/r/compare/refs%2Fheads%2Fmain...{SHA}?per_page=1", {"status": "ahead"})
    refs = [{"ref": f"refs/heads/release/{name}"} for name in ("1", "2", "x")]
    github.on("GET /repos/o/r/git/matching-refs/heads/release%2F?per_page=100", refs)
    github.on(f"GET /repos/o/r/compare/refs%2Fheads%2Frelease%2F1...{SHA}?per_page=1", {"status": "diverged"})
    github.on(f"GET /repos/o/r/compare/refs%2Fheads%2Frelease%2Fx...{SHA}?per_page=1", error(404, "Not Found"))
    github.on(f"GET /repos/o/r/compare/refs%2Fheads%2Frelease%2F2...{SHA}?per_page=1", {"status": "behind"})
    assert await repository.reachable(SHA, ["main", "release/[0-9]"])
    assert not await repository.reachable(SHA, ["release/[1x]"])
    assert not await repository.reachable(SHA, [])


async def test_reachable_is_an_error_where_it_cannot_be_known(github: StandIn, repository: GitHubRepository) -> None:
    github.on(f"GET /repos/o/r/compare/refs%2Fheads%2Fmain...{SHA}?per_page=1", error(502, "Bad Gateway"))
    with pytest.raises(Unavailable):
        await repository.reachable(SHA, ["main"])


@pytest.mark.parametrize("name", ["", "r", "/r", "o/"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="owner/name"):
        GitHubRepository(name, None)  # type: ignore[arg-type]
