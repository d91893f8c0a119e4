"""The sandbox follows GitHub's rules for checks, deployments, refs and contents."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .sandbox_rig import REPO, Rig, opened

R = f"/repos/{REPO}"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("states", "combined"),
    [
        ([], "pending"),
        (["success"], "success"),
        (["success", "pending"], "pending"),
        (["success", "pending", "error"], "failure"),
        (["failure"], "failure"),
    ],
)
async def test_combined_status(rig: Rig, states: list[str], combined: str) -> None:
    for number, state in enumerate(states):
        rig.gh.set_status(REPO, "main", f"ci/{number}", "pending")
        rig.gh.set_status(REPO, "main", f"ci/{number}", state)
    answer = await rig.call("GET", f"{R}/commits/main/status", await rig.token())
    assert (answer.body["state"], answer.body["total_count"]) == (combined, len(states))


async def test_check_runs_latest_all_and_by_app(rig: Rig) -> None:
    gh, token = rig.gh, await rig.token()
    gh.set_check_run(REPO, "main", "build", "failure", app="one")
    gh.set_check_run(REPO, "main", "build", "success", app="one")
    other = gh.set_check_run(REPO, "main", "build", "in_progress", app="two")
    path = f"{R}/commits/main/check-runs"
    latest = (await rig.call("GET", path, token)).body
    assert latest["total_count"] == 2
    assert {run["app"]["slug"]: run["conclusion"] for run in latest["check_runs"]} == {"one": "success", "two": None}
    assert (await rig.call("GET", f"{path}?filter=all", token)).body["total_count"] == 3
    by_app = (await rig.call("GET", f"{path}?app_id={other.app_id}", token)).body
    assert [run["id"] for run in by_app["check_runs"]] == [other.id]
    assert (await rig.call("GET", f"{path}?check_name=nope", token)).body["total_count"] == 0
    suites = (await rig.call("GET", f"{R}/commits/main/check-suites", token)).body["check_suites"]
    assert [(s["status"], s["conclusion"]) for s in suites] == [("completed", "success"), ("in_progress", None)]


async def test_an_app_makes_and_completes_its_own_check_run(rig: Rig) -> None:
    token, sha = await rig.token(), rig.gh.sha(REPO)
    made = await rig.call("POST", f"{R}/check-runs", token, json={"name": "deploy", "head_sha": sha})
    assert (made.status, made.body["status"]) == (201, "queued")
    path = f"{R}/check-runs/{made.body['id']}"
    done = await rig.call("PATCH", path, token, json={"conclusion": "neutral", "output": {"title": "t"}})
    assert (done.body["status"], done.body["conclusion"], done.body["output"]["title"]) == ("completed", "neutral", "t")
    theirs = rig.gh.set_check_run(REPO, "main", "build", "queued")
    refused = await rig.call("PATCH", f"{R}/check-runs/{theirs.id}", token, json={"conclusion": "success"})
    assert refused.status == 403
    bad = await rig.call("PATCH", path, token, json={"status": "completed"})
    assert bad.status == 422


async def test_deployments_ask_for_green_contexts(rig: Rig) -> None:
    token, path = rig.gh.personal_token("ana"), f"{R}/deployments"
    rig.gh.set_status(REPO, "main", "ci", "pending")
    rig.gh.set_check_run(REPO, "main", "build", "skipped")
    refused = await rig.call("POST", path, token, json={"ref": "main"})
    assert (refused.status, refused.body["message"]) == (409, "Conflict: Commit status checks failed for main.")
    assert refused.body["errors"][0]["contexts"] == [
        {"context": "ci", "state": "pending"},
        {"context": "build", "state": "skipped"},
    ]
    rig.gh.set_status(REPO, "main", "ci", "success")
    by_contexts = {
        contexts: (
            await rig.call("POST", path, token, json={"ref": "main", "required_contexts": list(contexts)})
        ).status
        for contexts in ((), ("ci",), ("ci", "other"))
    }
    assert by_contexts == {(): 201, ("ci",): 201, ("ci", "other"): 409}


async def test_deployments_fill_in_what_was_not_said(rig: Rig) -> None:
    ana, path = rig.gh.personal_token("ana"), f"{R}/deployments"
    made = (await rig.call("POST", path, ana, json={"ref": "main"})).body
    assert (made["environment"], made["task"], made["ref"]) == ("production", "deploy", "main")
    assert (made["sha"], made["creator"]["login"]) == (rig.gh.sha(REPO), "ana")
    assert (made["production_environment"], made["performed_via_github_app"]) == (True, None)
    asked = {"ref": made["sha"], "payload": '{"name": "hello"}', "environment": "staging", "required_contexts": []}
    by_app = (await rig.call("POST", path, await rig.token(), json=asked)).body
    assert (by_app["creator"]["login"], by_app["payload"]) == ("kedge[bot]", '{"name": "hello"}')
    assert by_app["performed_via_github_app"]["id"] == rig.app.id
    assert by_app["production_environment"] is False
    wrong = [
        {"ref": "nope"},
        {"ref": "main", "description": "x" * 141},
        {"ref": "main", "payload": 3},
        {"ref": "main", "required_contexts": "ci"},
        {"ref": "main", "auto_merge": "no"},
    ]
    answers = [await rig.call("POST", path, ana, json=body) for body in wrong]
    assert [answer.status for answer in answers] == [422] * len(wrong)
    assert answers[0].body["message"] == "No ref found for: nope"
    filtered = await rig.call("GET", f"{path}?environment=staging", ana)
    assert [deployment["id"] for deployment in filtered.body] == [by_app["id"]]


async def test_auto_merge_merges_instead_of_deploying(rig: Rig) -> None:
    gh, ana = rig.gh, rig.gh.personal_token("ana")
    gh.commit(REPO, "topic", {"topic.txt": "1"})
    gh.commit(REPO, "main", {"main.txt": "1"})
    asked = {"ref": "topic", "required_contexts": []}
    without = await rig.call("POST", f"{R}/deployments", ana, json={**asked, "auto_merge": False})
    merged = await rig.call("POST", f"{R}/deployments", ana, json=asked)
    then = await rig.call("POST", f"{R}/deployments", ana, json=asked)
    assert [a.status for a in (without, merged, then)] == [201, 202, 201]
    assert merged.body == {"message": "Auto-merged main into topic on deployment."}
    gh.commit(REPO, "topic", {"same.txt": "1"})
    gh.commit(REPO, "main", {"same.txt": "2"})
    assert (await rig.call("POST", f"{R}/deployments", ana, json=asked)).status == 409


async def test_success_retires_older_ones_unless_production_or_told_not_to(rig: Rig) -> None:
    gh, token = rig.gh, await rig.token()

    async def succeed(environment: str, **more: object) -> int:
        deployment = gh.create_deployment(REPO, environment=environment)
        body = {"state": "success", **more}
        await rig.call("POST", f"{R}/deployments/{deployment.id}/statuses", token, json=body)
        return deployment.id

    older = [await succeed("staging"), await succeed("production"), await succeed("qa")]
    failed = gh.create_deployment(REPO, environment="staging")
    gh.add_deployment_status(failed.id, "failure")
    await succeed("staging")
    await succeed("production")
    await succeed("qa", auto_inactive=False)
    assert [gh.deployment(one).state for one in older] == ["inactive", "success", "success"]
    assert gh.deployment(failed.id).state == "failure"
    await gh.settled()
    told = [one.body["deployment_status"]["state"] for one in rig.receiver.of("deployment_status")]
    assert "inactive" not in told
    assert len(told) == 7


async def test_deployment_statuses(rig: Rig) -> None:
    token, deployment = await rig.token(), rig.gh.create_deployment(REPO, environment="staging")
    path = f"{R}/deployments/{deployment.id}/statuses"
    log = {"log_url": "https://kedge.example/hello/1", "environment_url": "https://hello.example"}
    made = await rig.call("POST", path, token, json={"state": "in_progress", "description": "x" * 140, **log})
    assert made.status == 201
    assert (made.body["log_url"], made.body["target_url"]) == (log["log_url"], log["log_url"])
    wrong = [{}, {"state": "done"}, {"state": "error", "description": "x" * 141}, {"state": "error", "log_url": "x"}]
    assert [(await rig.call("POST", path, token, json=body)).status for body in wrong] == [422] * 4
    await rig.call("POST", path, token, json={"state": "failure", "environment": "qa"})
    listed = (await rig.call("GET", path, token)).body
    assert [status["state"] for status in listed] == ["failure", "in_progress"]
    shown = (await rig.call("GET", f"{R}/deployments/{deployment.id}", token)).body
    assert (shown["environment"], shown["original_environment"]) == ("qa", "staging")
    assert [status.state for status in rig.gh.statuses(deployment.id)] == ["in_progress", "failure"]


async def test_only_inactive_or_lonely_deployments_can_be_deleted(rig: Rig) -> None:
    token = await rig.token()
    one, two = (rig.gh.create_deployment(REPO).id for _ in range(2))
    assert (await rig.call("DELETE", f"{R}/deployments/{one}", token)).status == 422
    rig.gh.add_deployment_status(one, "inactive")
    assert (await rig.call("DELETE", f"{R}/deployments/{one}", token)).status == 204
    assert (await rig.call("DELETE", f"{R}/deployments/{two}", token)).status == 204
    assert (await rig.call("GET", f"{R}/deployments/{two}", token)).status == 404


async def test_comparisons(rig: Rig) -> None:
    gh, token = rig.gh, await rig.token()
    base = gh.sha(REPO)
    topic = gh.commit(REPO, "topic", {"topic.txt": "1"})
    main = gh.commit(REPO, "main", {"main.txt": "1"})
    found = {}
    for names in ("main...main", f"{base}...topic", f"topic...{base[:10]}", "main...topic"):
        body = (await rig.call("GET", f"{R}/compare/{names}", token)).body
        found[names] = (body["status"], body["ahead_by"], body["behind_by"], body["merge_base_commit"]["sha"])
    assert list(found.values()) == [
        ("identical", 0, 0, main),
        ("ahead", 1, 0, base),
        ("behind", 0, 1, base),
        ("diverged", 1, 1, base),
    ]
    assert topic != main


async def test_refs_and_odd_branch_names(rig: Rig) -> None:
    gh, token = rig.gh, await rig.token()
    odd = ["x;touch${IFS}pwned", "$(id)", "release/1.0", "feature/a#b%c"]
    shas = {name: gh.commit(REPO, name, {"n.txt": name}) for name in odd}
    gh.set_ref(REPO, "refs/tags/v1", gh.sha(REPO))
    found = (await rig.call("GET", f"{R}/git/matching-refs/heads/", token)).body
    assert {ref["ref"]: ref["object"]["sha"] for ref in found} == {
        f"refs/heads/{name}": sha for name, sha in {**shas, "main": gh.sha(REPO)}.items()
    }
    tags = (await rig.call("GET", f"{R}/git/matching-refs/tags/v", token)).body
    assert [ref["ref"] for ref in tags] == ["refs/tags/v1"]
    assert (await rig.call("GET", f"{R}/git/matching-refs/heads/none", token)).body == []
    deployment = gh.create_deployment(REPO, ref="x;touch${IFS}pwned")
    assert deployment.sha == shas["x;touch${IFS}pwned"]
    quoted = await rig.call("GET", f"{R}/branches/release%2F1.0", token)
    assert quoted.body["commit"]["sha"] == shas["release/1.0"]


async def test_contents(rig: Rig) -> None:
    gh, token = rig.gh, await rig.token()
    gh.commit(REPO, "topic", {"conf/kedge.yml": "deploy: make\n", "README.md": None})
    path = f"{R}/contents/conf/kedge.yml"
    shown = (await rig.call("GET", f"{path}?ref=topic", token)).body
    assert base64.b64decode(shown["content"]) == b"deploy: make\n"
    raw = await rig.call("GET", f"{path}?ref=topic", token, headers={"Accept": "application/vnd.github.raw"})
    assert raw.body == "deploy: make\n"
    assert (await rig.call("GET", path, token)).status == 404
    assert (await rig.call("GET", f"{R}/contents/README.md?ref=topic", token)).status == 404
    listed = (await rig.call("GET", f"{R}/contents?ref=topic", token)).body
    assert {item["name"]: item["type"] for item in listed} == {"conf": "dir", "deploy.sh": "file", "site": "dir"}


async def test_team_membership(rig: Rig) -> None:
    rig.gh.add_team("acme", "ops", ["ana"])
    token = await rig.token()
    path = "/orgs/acme/teams/{}/memberships/{}"
    statuses = [
        (await rig.call("GET", path.format(team, who), token)).status
        for team, who in (("ops", "ana"), ("ops", "bob"), ("none", "ana"))
    ]
    assert statuses == [200, 404, 404]
