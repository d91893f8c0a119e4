"""The sandbox speaks GitHub: shapes, who may what, pages, ETags, limits.

githubkit's models are generated from GitHub's own description of its API.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import pytest
from githubkit.webhooks import parse
from githubkit_schemas.latest import models
from pydantic import TypeAdapter

from .sandbox_rig import REPO, Rig, opened

R = f"/repos/{REPO}"
SHAPES: list[tuple[str, Any]] = [
    ("", models.FullRepository),
    ("/commits/main", models.Commit),
    ("/commits", list[models.Commit]),
    ("/commits/feature/x/status", models.CombinedCommitStatus),
    ("/commits/main/status", models.CombinedCommitStatus),
    ("/commits/main/statuses", list[models.Status]),
    ("/commits/main/check-runs", models.ReposOwnerRepoCommitsRefCheckRunsGetResponse200),
    ("/commits/main/check-suites", models.ReposOwnerRepoCommitsRefCheckSuitesGetResponse200),
    ("/branches", list[models.ShortBranch]),
    ("/branches/feature/x", models.BranchWithProtection),
    ("/git/matching-refs/heads/", list[models.GitRef]),
    ("/git/ref/heads/feature/x", models.GitRef),
    ("/compare/main...feature/x", models.CommitComparison),
    ("/collaborators/ana/permission", models.RepositoryCollaboratorPermission),
    ("/contents/README.md", models.ContentFile),
    ("/contents/site", list[models.ContentDirectoryItems]),
    ("/contents", list[models.ContentDirectoryItems]),
    ("/deployments", list[models.Deployment]),
]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(tmp_path) as made:
        yield made


async def test_rest_has_githubs_shape(rig: Rig) -> None:
    gh, by_app = rig.gh, rig.jwt()
    gh.set_status(REPO, "main", "ci", "success", description="fine", target_url="https://ci.example/1")
    gh.set_check_run(REPO, "main", "build", "success")
    gh.commit(REPO, "feature/x", {"a b.txt": "hi"}, by="ana")
    gh.add_team("acme", "ops", ["ana"])
    deployment = gh.create_deployment(REPO, payload={"name": "hello"})
    status = gh.add_deployment_status(deployment.id, "success", description="done")
    await gh.settled()
    created = await rig.call(
        "POST", f"/app/installations/{rig.installation_id}/access_tokens", by_app, json={"repositories": ["hello"]}
    )
    models.InstallationToken.model_validate(created.body)
    token, one = created.body["token"], f"{R}/deployments/{deployment.id}"
    deliveries = await rig.call("GET", "/app/hook/deliveries", by_app)
    wanted: list[tuple[str, Any, str]] = [
        ("/app", models.Integration, by_app),
        ("/app/installations", list[models.Installation], by_app),
        (f"/app/installations/{rig.installation_id}", models.Installation, by_app),
        (f"{R}/installation", models.Installation, by_app),
        ("/orgs/acme/installation", models.Installation, by_app),
        ("/app/hook/deliveries", list[models.HookDeliveryItem], by_app),
        (f"/app/hook/deliveries/{deliveries.body[0]['id']}", models.HookDelivery, by_app),
        ("/installation/repositories", models.InstallationRepositoriesGetResponse200, token),
        *((R + path, model, token) for path, model in SHAPES),
        (one, models.Deployment, token),
        (f"{one}/statuses", list[models.DeploymentStatus], token),
        (f"{one}/statuses/{status.id}", models.DeploymentStatus, token),
        (f"/repositories/{gh.world.repository(REPO).id}", models.FullRepository, token),
        ("/orgs/acme/teams/ops/memberships/ana", models.TeamMembership, token),
        ("/rate_limit", models.RateLimitOverview, token),
        ("/user", models.PrivateUser, gh.personal_token("ana")),
    ]
    for path, model, auth in wanted:
        answer = await rig.call("GET", path, auth)
        assert answer.status == 200, (path, answer.body)
        TypeAdapter(model).validate_python(answer.body)


async def test_webhooks_have_githubs_shape(rig: Rig) -> None:
    gh = rig.gh
    gh.add_repository("acme/two")
    gh.install(rig.app.id, ["acme/two"])
    gh.uninstall(rig.installation_id, ["acme/two"])
    gh.set_status(REPO, "main", "ci", "success")
    gh.set_check_run(REPO, "main", "build", "queued")
    gh.set_check_run(REPO, "main", "build", "failure")
    sha = gh.commit(REPO, "new", {"x": "1"})
    gh.set_ref(REPO, "refs/tags/v1", sha)
    gh.set_ref(REPO, "refs/heads/new", None)
    deployment = gh.create_deployment(REPO, payload="text", by="github-actions[bot]")
    gh.add_deployment_status(deployment.id, "in_progress")
    await gh.settled()
    for one in rig.receiver.received:
        parse(one.event, one.raw)
    shown = [(one.event, one.body.get("action")) for one in rig.receiver.received]
    assert shown == [
        ("ping", None),
        ("installation", "created"),
        ("installation_repositories", "added"),
        ("installation_repositories", "removed"),
        ("status", None),
        ("check_run", "created"),
        ("check_run", "completed"),
        ("check_suite", "completed"),
        ("push", None),
        ("check_suite", "requested"),
        ("push", None),
        ("push", None),
        ("deployment", "created"),
        ("deployment_status", "created"),
    ]
    pushes = [(one.body["ref"], one.body["created"], one.body["deleted"]) for one in rig.receiver.of("push")]
    assert pushes == [
        ("refs/heads/new", True, False),
        ("refs/tags/v1", True, False),
        ("refs/heads/new", False, True),
    ]


async def test_app_jwt_is_verified(rig: Rig) -> None:
    now = int(time())
    other = rig.gh.add_app(slug="other")
    good = [rig.jwt(), rig.jwt(iss=rig.app.client_id), rig.jwt(exp=now + 595)]
    bad = {
        "expired": rig.jwt(exp=now - 1),
        "too long": rig.jwt(exp=now + 700),
        "from the future": rig.jwt(iat=now + 100),
        "another App's key": rig.jwt(key=other.private_key),
        "unknown issuer": rig.jwt(iss="1"),
        "not RS256": rig.jwt(key="s" * 32, algorithm="HS256"),
        "no token": "a.b.c",
        "an installation's": await rig.token(),
        "nothing": "",
    }
    for token in good:
        assert (await rig.call("GET", "/app", token)).status == 200
    for why, token in bad.items():
        answer = await rig.call("GET", "/app", token)
        assert (why, answer.status) == (why, 401)
        assert set(answer.body) == {"message", "documentation_url", "status"}


async def test_tokens_are_narrowed(rig: Rig) -> None:
    gh = rig.gh
    other = gh.add_repository("acme/other", private=True)
    gh.install(rig.app.id, ["acme/other"])
    token = await rig.token(repository_ids=[other.id], permissions={"deployments": "read"})
    assert (await rig.call("GET", "/repos/acme/other/deployments", token)).status == 200
    assert (await rig.call("GET", f"{R}/deployments", token)).status == 404
    for method, path in (("GET", "commits/main"), ("POST", "deployments")):
        answer = await rig.call(
            method, f"/repos/acme/other/{path}", token, json={"ref": "main"} if method == "POST" else None
        )
        assert (answer.status, answer.body["message"]) == (403, "Resource not accessible by integration")
        assert "x-accepted-github-permissions" in answer.headers
    tokens = f"/app/installations/{rig.installation_id}/access_tokens"
    for too_much in ({"permissions": {"contents": "write"}}, {"repository_ids": [1]}, {"repositories": ["nope"]}):
        assert (await rig.call("POST", tokens, rig.jwt(), json=too_much)).status == 422
    seen = await rig.call("GET", "/installation/repositories", token)
    assert [repo["full_name"] for repo in seen.body["repositories"]] == ["acme/other"]


async def test_what_was_not_granted_is_refused(rig: Rig) -> None:
    rig.gh.install(rig.app.id, [REPO], {"contents": "read"})
    token = await rig.token()
    assert (await rig.call("GET", f"{R}/commits/main", token)).status == 200
    assert (await rig.call("GET", f"{R}/commits/main/check-runs", token)).status == 403
    assert (await rig.call("GET", "/orgs/acme/teams/ops/memberships/ana", token)).status == 403
    assert (await rig.call("GET", "/user", token)).status == 403


async def test_tokens_end(rig: Rig) -> None:
    rig.gh.world.token_lifetime_s = 0
    assert (await rig.call("GET", R, await rig.token())).status == 401
    rig.gh.world.token_lifetime_s = 3600
    token = await rig.token()
    assert (await rig.call("GET", R, token)).status == 200
    rig.gh.expire_tokens()
    assert (await rig.call("GET", R, token)).status == 401
    assert (await rig.call("GET", R, "ghs_unknown")).body["message"] == "Bad credentials"


async def test_people_see_and_do_what_their_role_allows(rig: Rig) -> None:
    gh = rig.gh
    gh.add_repository("acme/open")
    ana, bob, eve = (gh.personal_token(login) for login in ("ana", "bob", "eve"))
    asked = {"ref": "main", "required_contexts": []}
    found = {
        "ana": await rig.call("POST", f"{R}/deployments", ana, json=asked),
        "bob": await rig.call("POST", f"{R}/deployments", bob, json=asked),
        "eve": await rig.call("POST", f"{R}/deployments", eve, json=asked),
        "nobody": await rig.call("POST", f"{R}/deployments", json=asked),
        "nobody, public": await rig.call("POST", "/repos/acme/open/deployments", json=asked),
        "nobody reads": await rig.call("GET", "/repos/acme/open/commits/main"),
        "a JWT": await rig.call("GET", R, rig.jwt()),
    }
    assert {who: answer.status for who, answer in found.items()} == {
        "ana": 201,
        "bob": 403,
        "eve": 404,
        "nobody": 404,
        "nobody, public": 401,
        "nobody reads": 200,
        "a JWT": 401,
    }
    roles = [await rig.call("GET", f"{R}/collaborators/{who}/permission", ana) for who in ("ana", "bob", "eve")]
    assert [answer.body["permission"] for answer in roles] == ["write", "read", "none"]
    assert (await rig.call("GET", f"{R}/collaborators/nobody/permission", ana)).status == 404


async def test_bad_requests_are_refused_in_githubs_shape(rig: Rig) -> None:
    token = await rig.token()
    cases = [
        (await rig.call("GET", "/nowhere", token), 404),
        (await rig.call("DELETE", R, token), 404),
        (await rig.call("GET", R, token, headers={"X-GitHub-Api-Version": "1999-01-01"}), 400),
        (await rig.call("POST", f"{R}/deployments", token, data=b"{"), 400),
        (await rig.call("POST", f"{R}/deployments", token, data=b"[]"), 400),
        (await rig.call("POST", f"{R}/deployments", token, json={}), 422),
        (await rig.call("GET", f"{R}/commits/nope", token), 422),
        (await rig.call("GET", f"{R}/commits/main~1", token), 422),
        (await rig.call("GET", f"{R}/branches/nope", token), 404),
        (await rig.call("GET", f"{R}/compare/main...nope", token), 404),
        (await rig.call("GET", f"{R}/contents/nope", token), 404),
        (await rig.call("POST", f"{R}/statuses/main", token, json={"state": "success"}), 422),
        (await rig.call("POST", f"{R}/statuses/{rig.gh.sha(REPO)}", token, json={"state": "green"}), 422),
        (await rig.call("POST", f"{R}/check-runs", token, json={"name": "x"}), 422),
    ]
    for answer, status in cases:
        assert (answer.status, answer.body["status"]) == (status, str(status)), answer.body
        assert {"message", "documentation_url"} <= set(answer.body)
    assert "errors" in cases[-2][0].body
    without = await rig.call("GET", R, token, headers={"User-Agent": ""})
    assert (without.status, "User-Agent" in without.body) == (403, True)


async def test_lists_come_in_pages(rig: Rig) -> None:
    for number in range(7):
        rig.gh.set_status(REPO, "main", f"ci/{number}", "success")
    token = await rig.token()
    seen: list[str] = []
    address = f"{R}/commits/main/status?per_page=3"
    pages = 0
    while address:
        answer = await rig.call("GET", address, token)
        seen += [status["context"] for status in answer.body["statuses"]]
        assert answer.body["total_count"] == 7
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        address, pages = following[1] if following else "", pages + 1
    assert (pages, seen) == (3, [f"ci/{number}" for number in range(7)])


async def test_the_same_again_is_304_and_costs_nothing(rig: Rig) -> None:
    token, path = await rig.token(), f"{R}/commits/main/status"
    first = await rig.call("GET", path, token)
    again = {"If-None-Match": first.headers["etag"]}
    second = await rig.call("GET", path, token, headers=again)
    assert (second.status, second.body) == (304, "")
    assert second.headers["x-ratelimit-remaining"] == first.headers["x-ratelimit-remaining"] == "4999"
    rig.gh.set_status(REPO, "main", "ci", "pending")
    third = await rig.call("GET", path, token, headers=again)
    assert (third.status, third.body["state"]) == (200, "pending")
    assert third.headers["x-ratelimit-remaining"] == "4998"


async def test_the_rate_limit_is_a_limit(rig: Rig) -> None:
    rig.gh.world.rate_limit = 2
    token = await rig.token()
    statuses = [(await rig.call("GET", R, token)).status for _ in range(3)]
    assert statuses == [200, 200, 403]
    left = await rig.call("GET", "/rate_limit", token)
    assert (left.status, left.body["rate"]["remaining"]) == (200, 0)


async def test_both_forms_of_addresses(rig: Rig) -> None:
    token = await rig.token()
    enterprise = await rig.call("GET", f"{rig.gh.url}/api/v3{R}", token)
    dotcom = await rig.call("GET", f"{rig.gh.url}{R}", token)
    assert enterprise.body["url"] == f"{rig.gh.url}/api/v3{R}"
    assert dotcom.body["url"] == f"{rig.gh.url}{R}"
