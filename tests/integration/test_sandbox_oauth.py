"""The sandbox's sign-in: the web flow of a GitHub App, strict where GitHub is, and what its tokens are good for."""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from githubkit_schemas.latest import models

from ghapp.sandbox.accounts import AppKeys
from ghapp.sandbox.server import Sandbox

REPO = "acme/hello"
CALLBACK = "http://127.0.0.1:1/auth/github/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@dataclass
class Flow:
    """``ana`` may push to the private repository, ``bob`` may not read it. ``now`` is the sandbox's clock, in ms."""

    gh: Sandbox
    app: AppKeys
    http: aiohttp.ClientSession
    now: list[int] = field(default_factory=list)

    def asked(self, **changes: str) -> dict[str, str]:
        proof = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        return {"client_id": self.app.client_id, "redirect_uri": CALLBACK, "state": "s t&", **proof, **changes}

    async def decide(self, asked: Mapping[str, str], **decision: str) -> tuple[str, dict[str, str]]:
        """Where the person is sent, and with what."""
        url = f"{self.gh.url}/login/oauth/authorize"
        async with self.http.post(url, data={**asked, **decision}, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            where = urlsplit(answer.headers["Location"])
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        return f"{where.scheme}://{where.netloc}{where.path}", query

    async def code(self, **changes: str) -> str:
        return (await self.decide(self.asked(**changes), login="ana"))[1]["code"]

    async def exchange(self, code: str, **changes: str) -> dict[str, Any]:
        keys = {"client_id": self.app.client_id, "client_secret": self.app.client_secret}
        fields = {**keys, "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER, **changes}
        url, headers = f"{self.gh.url}/login/oauth/access_token", {"Accept": "application/json"}
        async with self.http.post(url, data=fields, headers=headers) as answer:
            told: dict[str, Any] = await answer.json()
            assert answer.status == (404 if told.get("error") == "Not Found" else 200)
            return told

    async def get(self, token: str, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "tests"}
        async with self.http.get(self.gh.api_url + path, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def flow(tmp_path: Path) -> AsyncIterator[Flow]:
    now = [1_795_442_400_000]
    async with Sandbox(tmp_path, clock=lambda: now[0]) as gh, aiohttp.ClientSession() as http:
        gh.add_repository(REPO, private=True)
        gh.add_repository("acme/elsewhere", private=True)
        for repository in (REPO, "acme/elsewhere"):
            gh.set_permission(repository, "ana", "write")
        gh.add_user("bob")
        app = gh.add_app(callback_urls=[CALLBACK])
        gh.install(app.id, [REPO])
        yield Flow(gh, app, http, now)


async def test_a_person_is_asked_and_the_app_learns_who_they_are(flow: Flow) -> None:
    async with flow.http.get(f"{flow.gh.url}/login/oauth/authorize", params=flow.asked()) as page:
        html = await page.text()
    assert "Authorize as ana" in html and "Authorize as bob" in html and "kedge[bot]" not in html
    where, query = await flow.decide(flow.asked(), login="ana")
    assert where == CALLBACK and query["state"] == "s t&"
    told = await flow.exchange(query["code"])
    assert told["access_token"].startswith("ghu_") and told["refresh_token"].startswith("ghr_")
    assert (told["expires_in"], told["refresh_token_expires_in"]) == (28_800, 15_897_600)
    assert (told["token_type"], told["scope"]) == ("bearer", "")
    status, user = await flow.get(told["access_token"], "/user")
    assert (status, user["login"]) == (200, "ana")
    flow.now[0] += 28_800_000
    assert (await flow.get(told["access_token"], "/user"))[0] == 401


async def test_the_token_is_good_for_no_more_than_the_app(flow: Flow) -> None:
    token = (await flow.exchange(await flow.code()))["access_token"]
    _, found = await flow.get(token, "/user/installations")
    [installation] = found["installations"]
    models.UserInstallationsGetResponse200.model_validate(found)
    _, listed = await flow.get(token, f"/user/installations/{installation['id']}/repositories")
    models.UserInstallationsInstallationIdRepositoriesGetResponse200.model_validate(listed)
    [repository] = listed["repositories"]
    assert (repository["full_name"], repository["permissions"]["push"]) == (REPO, True)
    assert (await flow.get(token, f"/repos/{REPO}"))[0] == 200
    assert (await flow.get(token, "/repos/acme/elsewhere"))[0] == 404
    assert (await flow.get(token, "/user/installations/1/repositories"))[0] == 404
    assert (await flow.get(flow.gh.personal_token("ana"), "/user/installations"))[0] == 403
    assert (await flow.get(flow.gh.personal_token("ana"), "/repos/acme/elsewhere"))[0] == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "x"}, "incorrect_client_credentials"),
        ({"client_id": "Iv1.nobody"}, "Not Found"),
        ({"code": "x"}, "bad_verification_code"),
        ({"code_verifier": "w" * 43}, "bad_verification_code"),
        ({"code_verifier": ""}, "bad_verification_code"),
        ({"redirect_uri": f"{CALLBACK}/x"}, "redirect_uri_mismatch"),
    ],
)
async def test_a_code_is_worth_nothing_with_anything_wrong(flow: Flow, changes: dict[str, str], error: str) -> None:
    code = await flow.code()
    assert (await flow.exchange(**{"code": code, **changes}))["error"] == error


async def test_a_code_is_used_once_and_within_ten_minutes(flow: Flow) -> None:
    code = await flow.code()
    assert "access_token" in await flow.exchange(code)
    assert (await flow.exchange(code))["error"] == "bad_verification_code"
    late = await flow.code()
    flow.now[0] += 600_000
    assert (await flow.exchange(late))["error"] == "bad_verification_code"


async def test_refusals_are_told_to_the_callback(flow: Flow) -> None:
    where, query = await flow.decide(flow.asked(), deny="1")
    assert (where, query["error"], query["state"]) == (CALLBACK, "access_denied", "s t&")
    where, query = await flow.decide(flow.asked(redirect_uri="http://evil.example/"), login="ana")
    assert (where, query["error"]) == (CALLBACK, "redirect_uri_mismatch")
    where, query = await flow.decide(flow.asked(code_challenge_method="plain"), login="ana")
    assert (where, query["error"]) == (CALLBACK, "invalid_request")
    async with flow.http.get(f"{flow.gh.url}/login/oauth/authorize", params={"client_id": "x"}) as answer:
        assert answer.status == 404


async def test_who_is_a_collaborator(flow: Flow) -> None:
    token = flow.gh.personal_token("ana")
    for login, status in (("ana", 204), ("bob", 404), ("nobody", 404)):
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "tests"}
        async with flow.http.get(f"{flow.gh.api_url}/repos/{REPO}/collaborators/{login}", headers=headers) as answer:
            assert answer.status == status, login


async def test_a_renamed_person_keeps_id_and_role_and_leaves_the_login_to_others(flow: Flow) -> None:
    before = flow.gh.add_user("ana")
    flow.gh.rename_user("ana", "anna")
    assert flow.gh.add_user("anna").id == before.id != flow.gh.add_user("ana").id
    _, found = await flow.get(flow.gh.personal_token("anna"), f"/repos/{REPO}/collaborators/anna/permission")
    assert (found["permission"], found["user"]["id"]) == ("write", before.id)
