"""Sign-in with GitHub through the pages: there and back, and everything that can go wrong on the way."""

from collections.abc import AsyncIterator
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.fernet import MultiFernet
from structlog.testing import capture_logs

from ghapp.api.common import SETTINGS
from ghapp.core.limits import Rate
from tests.integration.kedge_world import ADMIN_TOKEN, settings
from tests.integration.people_world import URL, Answer, People, people


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[People]:
    async with people(tmp_path) as made:
        yield made


async def is_in(town: People) -> bool:
    return (await town.get("/")).status == 200


def cookies(answer: Answer) -> SimpleCookie:
    found = SimpleCookie()
    for line in answer.headers.getall("Set-Cookie"):  # type: ignore[attr-defined]
        found.load(line)
    return found


async def test_there_and_back_to_where_one_wanted_to(town: People) -> None:
    await town.kedge.ask(environment="staging")
    shown = await town.get("/login?next=/shop%3Fa%3Db")
    assert '<a class="button" href="/auth/github?next=/shop%3Fa%3Db">Sign in with GitHub</a>' in shown.text
    assert 'name="token"' in shown.text
    with capture_logs() as logged:
        answer = await town.enter("bob", "/shop?a=b")
    assert answer.location == "/shop?a=b"
    page = (await town.get("/shop")).text
    assert "Signed in as bob" in page and "shop#1" in page
    assert [(one["who"], one["event"]) for one in logged if one["event"] == "signed in"] == [("bob", "signed in")]
    assert "code=" not in str(logged) and "ghu_" not in str(logged)


async def test_the_token_of_the_person_is_used_once_and_kept_nowhere(town: People) -> None:
    answer = await town.enter("ana")
    await town.get("/")
    by_person = [one.path for one in town.gh.requests if "ghu_" in one.headers.get("Authorization", "")]
    assert by_person == ["/user"]
    made = cookies(answer)
    assert "ana" not in made["kedge"].value and "ghu_" not in made["kedge"].value
    assert len(made["kedge"].OutputString()) < 500
    assert (made["kedge"]["httponly"], made["kedge"]["samesite"]) == (True, "Lax")
    assert made["kedge-sign-in"]["max-age"] == "0"  # so the state was good once
    assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_what_goes_along_is_new_each_time_and_the_proof_stays_here(town: People) -> None:
    asked = []
    for _ in range(2):
        gone = await town.get("/auth/github")
        asked.append({name: values[0] for name, values in parse_qs(urlsplit(gone.location).query).items()})
        away = cookies(gone)["kedge-sign-in"]
        assert (away["max-age"], away["httponly"], away["samesite"]) == ("600", True, "Lax")
        assert asked[-1]["state"] not in away.value
    assert asked[0]["redirect_uri"] == f"{URL}/auth/github/callback"
    assert asked[0]["code_challenge_method"] == "S256"
    assert asked[0]["state"] != asked[1]["state"] and asked[0]["code_challenge"] != asked[1]["code_challenge"]


@pytest.mark.parametrize("after", ["//evil.example", "/\\evil.example", "https://evil.example", "/" + "x" * 2000])
async def test_one_comes_back_to_this_app_only(town: People, after: str) -> None:
    assert (await town.enter("ana", after)).location == "/"


async def test_over_https_its_cookies_are_for_this_host_only(tmp_path: Path) -> None:
    async with people(tmp_path, url="https://kedge.example") as town:
        gone = await town.get("/auth/github")
    away = cookies(gone)["__Host-kedge-sign-in"]
    assert away["secure"] and away["path"] == "/" and not away["domain"]


async def test_only_the_browser_that_went_comes_back_and_only_once(town: People) -> None:
    back = await town.at_github(login="ana")
    mine = {cookie.key: cookie.value for cookie in town.kedge.client.session.cookie_jar}
    town.keep_only()
    strange = await town.get(back)
    assert strange.status == 400 and f"was not begun in this browser at {URL}" in strange.text
    assert "Sign in with GitHub" in strange.text and not await is_in(town)
    town.keep_only(**mine)
    forged = await town.get(back.replace("state=", "state=x"))
    assert forged.status == 400 and not await is_in(town)
    town.keep_only(**mine)
    assert (await town.get(back)).status == 303
    assert await is_in(town)
    again = await town.get(back)
    assert again.status == 400 and await is_in(town)  # and whoever is in stays in


async def test_a_sign_in_that_took_longer_than_ten_minutes_is_over(
    town: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MultiFernet.encrypt
    monkeypatch.setattr(MultiFernet, "encrypt", lambda keys, data: keys.encrypt_at_time(data, 1_700_000_000))
    back = await town.at_github(login="ana")
    monkeypatch.setattr(MultiFernet, "encrypt", real)
    assert "within the last ten minutes" in (await town.get(back)).text


async def test_whoever_declines_is_told_so(town: People) -> None:
    answer = await town.get(await town.at_github("/shop", deny="1"))
    assert answer.status == 403 and "You did not let Kedge know who you are at GitHub" in answer.text
    assert "/auth/github?next=/shop" in answer.text and not await is_in(town)


@pytest.mark.parametrize("error", ["x" * 100, "<b>", "redirect_uri_mismatch", "application_suspended", ""])
async def test_whatever_github_says_is_told_safely(town: People, error: str) -> None:
    back = await town.at_github(deny="1")
    answer = await town.get(back.replace("access_denied", error))
    assert answer.status == 403 and "<b>" not in answer.text and 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("fault", "status", "sentence"),
    [
        ("code", 400, "GitHub did not accept the code of this sign-in"),
        ("secret", 502, "does not know Kedge by its GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET"),
        ("client", 502, "does not know Kedge by its GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET"),
        ("callback", 400, "does not have the callback URL http://kedge.example/auth/github/callback"),
        ("down", 502, "GitHub answered 503"),
        ("user", 502, "GitHub answered 502"),
        ("broken", 502, "broke before the answer was complete"),
        ("nothing", 400, "GitHub refused the sign-in."),
    ],
)
async def test_what_goes_wrong_between_kedge_and_github_is_a_page_with_the_way_on(
    town: People, fault: str, status: int, sentence: str
) -> None:
    back = await town.at_github("/shop", login="ana")
    there, token = town.kedge.ctx.sign_ins["github"], "/login/oauth/access_token"
    [code] = town.gh.world.state.codes.values()
    match fault:
        case "code":
            town.gh.world.state.codes.clear()
        case "secret" | "client":
            setattr(there, f"_client_{fault.replace('client', 'id')}", "wrong")
        case "callback":
            town.gh.world.state.codes[code.value] = replace(code, redirect_uri="http://kedge.test/")
        case "down":
            town.gh.faults.answer("POST", token, 503)
        case "user":
            town.gh.faults.answer("GET", "/user", 502)
        case "broken":
            town.gh.faults.drop("POST", token, after=True)
        case "nothing":
            town.gh.faults.answer("POST", token, 200)
    with capture_logs() as logged:
        answer = await town.get(back)
    assert answer.status == status, answer.text
    assert sentence in answer.text and "/auth/github?next=/shop" in answer.text
    assert not await is_in(town)
    secret = town.app.client_secret
    assert secret not in answer.text and secret not in str(logged) and "ghu_" not in str(logged)


async def test_whoever_fails_again_and_again_is_slowed_down(town: People) -> None:
    town.kedge.ctx.limits.failed = Rate(0.1, 2)
    for status in (400, 400, 429):
        back = await town.at_github(login="ana")
        town.gh.world.state.codes.clear()
        answer = await town.get(back)
        assert answer.status == status
    assert "Retry-After" in answer.headers
    await town.enter("ana")  # whoever does not fail is let in


async def test_the_session_is_a_new_one(town: People) -> None:
    await town.get("/login")
    before = [cookie.value for cookie in town.kedge.client.session.cookie_jar]
    assert cookies(await town.enter("ana"))["kedge"].value not in before


async def test_keys_are_rotated_and_a_changed_cookie_is_none(town: People) -> None:
    value = cookies(await town.enter("ana"))["kedge"].value
    app = town.kedge.client.app
    app._state[SETTINGS] = settings(secret_keys=("n" * 32, "k" * 32))
    assert await is_in(town)
    app._state[SETTINGS] = settings(secret_keys=("n" * 32,))
    assert not await is_in(town)
    app._state[SETTINGS] = settings()
    for place in (0, len(value) // 2, len(value) - 5):
        changed = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
        town.keep_only(kedge=changed)
        assert not await is_in(town)


async def test_sign_out_ends_it(town: People) -> None:
    await town.enter("ana")
    assert (await town.post("/logout")).location == "/login"
    assert not await is_in(town)


async def test_without_the_settings_only_a_token_is_asked_for(town: People) -> None:
    await town.enter("ana")
    town.kedge.ctx.sign_ins = {}
    assert not await is_in(town)  # and sessions that began so are over
    shown = await town.get("/login")
    assert "GitHub" not in shown.text and 'name="token"' in shown.text
    for path in ("/auth/github", "/auth/github/callback", "/auth/elsewhere"):
        assert (await town.get(path)).status == 404


async def test_a_token_still_signs_in(town: People) -> None:
    shown = (await town.get("/login")).text
    csrf = shown.partition('name="csrf" value="')[2].partition('"')[0]
    answer = await town.call("POST", "/login", data={"csrf": csrf, "token": ADMIN_TOKEN})
    assert answer.status == 303
    assert "Signed in as admin" in (await town.get("/")).text


async def test_nobody_takes_the_operator_s_name(town: People) -> None:
    """An account of that name, in any case, would pass for who runs Kedge."""
    for login in ("admin", "Admin"):
        town.gh.rename_user("admin", login)
        answer = await town.get(await town.at_github(login=login))
        assert answer.status == 403 and f"{login} is the name of who runs Kedge" in answer.text
        assert not await is_in(town)
