"""The App's own standing: its JWT, narrowed and shared tokens, installations, repositories."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.types import Options

from ghapp.core.remote import Forbidden, NotFound, Refused, Unauthorized, Unavailable
from ghapp.core.values import Repository
from ghapp.vcs.base import RepoToken
from ghapp.vcs.github_app import GitHubApp
from tests.integration.github.app_answers import ALL, START, Clock, installation, minted, repo
from tests.integration.github.stand_in import Asked, Reply, StandIn, error

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
HELLO = Repository(42, "o/hello", "https://github.com/o/hello.git")
INSTALLED = "GET /repos/o/hello/installation"
MINT = "POST /app/installations/9/access_tokens"
NEEDED = {"contents": "read", "statuses": "read", "checks": "read", "deployments": "write"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def app(github: StandIn, session: aiohttp.ClientSession, clock: Clock) -> AsyncIterator[GitHubApp]:
    app = GitHubApp(session, app_id=7, private_key=PEM, api_url=github.url, clock=clock)
    yield app
    await app.close()


def asked_to_mint(github: StandIn) -> list[Asked]:
    return [asked for asked in github.asked if asked.call == MINT]


async def test_the_token_is_narrowed_to_repository_and_needs(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_a", clock))
    token = await app.repo_token(HELLO)
    assert (token.value, token.expires_at, token.missing) == ("ghs_a", START + 3_600_000, ())
    assert asked_to_mint(github)[0].body == {"repository_ids": [42], "permissions": NEEDED}
    assert "ghs_a" not in repr(token)


@pytest.mark.parametrize(
    ("granted", "asked_for", "missing"),
    [
        ({**ALL, "deployments": "read"}, {"contents", "statuses", "checks"}, ("deployments:write",)),
        ({"contents": "write", "deployments": "admin"}, {"contents", "deployments"}, ("statuses:read", "checks:read")),
        ({**ALL, "contents": "odd"}, {"statuses", "checks", "deployments"}, ("contents:read",)),
    ],
)
async def test_what_was_not_granted_is_left_out_and_named(
    github: StandIn,
    app: GitHubApp,
    clock: Clock,
    granted: dict[str, str],
    asked_for: set[str],
    missing: tuple[str, ...],
) -> None:
    github.on(INSTALLED, installation(permissions=granted))
    github.on(MINT, minted("ghs_a", clock))
    assert (await app.repo_token(HELLO)).missing == missing
    assert asked_to_mint(github)[0].body["permissions"] == {name: NEEDED[name] for name in asked_for}


async def test_no_permission_at_all_asks_for_no_token(github: StandIn, app: GitHubApp) -> None:
    """An empty wish would be answered with everything that the installation has."""
    github.on(INSTALLED, installation(permissions={"metadata": "read"}))
    with pytest.raises(Forbidden, match="contents:read, statuses:read, checks:read, deployments:write"):
        await app.repo_token(HELLO)
    assert github.calls() == [INSTALLED]


async def test_a_token_is_kept_until_five_minutes_before_its_end(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_a", clock), minted("ghs_b", clock, minutes=120))
    assert (await app.repo_token(HELLO)).value == "ghs_a"
    clock.later(54.9)
    assert (await app.repo_token(HELLO)).value == "ghs_a"
    clock.later(0.2)
    assert (await app.repo_token(HELLO)).value == "ghs_b"


async def test_callers_at_once_share_one_request(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_a", clock))
    tokens = await asyncio.gather(*(app.repo_token(HELLO) for _ in range(20)))
    assert {token.value for token in tokens} == {"ghs_a"}
    assert github.calls() == [INSTALLED, MINT]


async def test_callers_at_once_share_one_failure(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, error(502, "Bad Gateway"), installation())
    github.on(MINT, minted("ghs_a", clock))
    outcomes = await asyncio.gather(*(app.repo_token(HELLO) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
    assert github.calls() == [INSTALLED]
    assert (await app.repo_token(HELLO)).value == "ghs_a"  # a failure is not remembered


async def test_a_caller_that_hangs_up_takes_nothing_from_the_others(
    github: StandIn, app: GitHubApp, clock: Clock
) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_a", clock))
    first, second = (asyncio.create_task(app.repo_token(HELLO)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).value == "ghs_a"
    assert first.cancelled()
    assert github.calls() == [INSTALLED, MINT]


async def test_repositories_have_tokens_of_their_own(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    other = Repository(43, "o/other", "")
    github.on(INSTALLED, installation())
    github.on("GET /repos/o/other/installation", installation())
    github.on(MINT, minted("ghs_a", clock), minted("ghs_b", clock))
    values = [(await app.repo_token(repository)).value for repository in (HELLO, other, HELLO)]
    assert values == ["ghs_a", "ghs_b", "ghs_a"]
    assert [asked.body["repository_ids"] for asked in asked_to_mint(github)] == [[42], [43]]


async def test_a_grant_that_has_shrunk_is_looked_up_again(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation(), installation(permissions={**ALL, "checks": "none"}))
    refusal = error(422, "The permissions requested are not granted to this installation.")
    github.on(MINT, refusal, minted("ghs_a", clock))
    assert (await app.repo_token(HELLO)).missing == ("checks:read",)


async def test_what_is_granted_later_is_had_within_minutes(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation(permissions={**ALL, "deployments": "read"}), installation())
    github.on(MINT, minted("ghs_a", clock), minted("ghs_b", clock))
    for after_minutes, value, missing in (
        (0, "ghs_a", ("deployments:write",)),
        (2.9, "ghs_a", ("deployments:write",)),
        (0.2, "ghs_b", ()),
        (50, "ghs_b", ()),
    ):
        clock.later(after_minutes)
        token = await app.repo_token(HELLO)
        assert (token.value, token.missing) == (value, missing)


async def test_an_app_that_was_installed_anew_is_looked_up_again(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation(), installation(id=10))
    github.on(MINT, error(404, "Not Found"))
    github.on("POST /app/installations/10/access_tokens", minted("ghs_b", clock))
    assert (await app.repo_token(HELLO)).value == "ghs_b"


async def test_a_refusal_that_stays(github: StandIn, app: GitHubApp) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, error(422, "There is at least one repository that does not exist or is not accessible"))
    with pytest.raises(Refused, match="at least one repository"):
        await app.repo_token(HELLO)


async def test_a_suspended_installation(github: StandIn, app: GitHubApp) -> None:
    page = "https://github.com/settings/installations/9"
    github.on(INSTALLED, installation(suspended_at="2024-05-01T09:00:00Z", html_url=page))
    for ask in (app.repo_token(HELLO), app.people(HELLO).permission("alice"), app.find_repository("o/hello")):
        with pytest.raises(
            Forbidden, match=r"on o is suspended; an owner can lift that at https://github\.com/settings"
        ):
            await ask


async def test_not_installed(github: StandIn, app: GitHubApp) -> None:
    github.on(INSTALLED, error(404, "Not Found"))
    with pytest.raises(NotFound, match="not installed on o/hello, or there is no such repository"):
        await app.repo_token(HELLO)


async def test_the_jwt_is_what_github_takes(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on("GET /app", {"slug": "kedge", "id": 7})
    assert await app.slug() == "kedge"
    assert await app.slug() == "kedge"
    assert github.calls() == ["GET /app"]
    unchecked: Options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(github.asked[0].token, KEY.public_key(), algorithms=["RS256"], options=unchecked)
    now = START // 1000
    assert claims["iss"] == "7"
    assert claims["iat"] == now - 60
    assert now < claims["exp"] < now + 600
    assert claims["exp"] - claims["iat"] < 600


async def test_the_jwt_is_kept_and_renewed_in_time(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on("GET /app/installations?per_page=100", [])
    for minutes in (0, 5, 5):
        clock.later(minutes)
        assert await app.find_repository("hello") == []
    first, second, third = (asked.token for asked in github.asked)
    assert first == second != third


async def test_a_jwt_that_is_not_accepted_says_why(github: StandIn, app: GitHubApp) -> None:
    github.on("GET /app", error(401, "'Expiration time' claim ('exp') is too far in the future"))
    with pytest.raises(Unauthorized, match="too far in the future"):
        await app.slug()


async def test_the_apps_own_token_has_all_that_was_granted(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_own", clock), minted("ghs_narrow", clock))
    github.on("GET /repos/o/hello/collaborators/alice/permission", {"permission": "admin"})
    client = app.people(HELLO)
    assert await client.permission("alice") == "admin"
    assert await client.permission("alice") == "admin"
    assert (await app.repo_token(HELLO)).value == "ghs_narrow"
    assert [asked.body for asked in asked_to_mint(github)] == [{}, {"repository_ids": [42], "permissions": NEEDED}]
    assert [asked.token for asked in github.asked if "alice" in asked.call] == ["ghs_own"] * 2


async def test_a_token_that_is_not_accepted_is_dropped(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_old", clock), minted("ghs_new", clock))
    permission = "GET /repos/o/hello/collaborators/alice/permission"
    github.on(permission, error(401, "Bad credentials"), {"permission": "admin"})
    for _ in range(2):
        assert await app.people(HELLO).permission("alice") == "admin"
    assert [a.token for a in github.asked if a.call == permission] == ["ghs_old", "ghs_new", "ghs_new"]


async def test_answers_are_revalidated_across_clients(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_own", clock))
    permission = "GET /repos/o/hello/collaborators/alice/permission"
    github.on(permission, Reply({"permission": "admin"}, headers={"ETag": '"1"'}))
    for _ in range(2):
        assert await app.people(HELLO).permission("alice") == "admin"
    assert [a.headers.get("If-None-Match") for a in github.asked if a.call == permission] == [None, '"1"']


async def test_find_by_full_name(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    github.on(INSTALLED, installation())
    github.on(MINT, minted("ghs_own", clock))
    github.on("GET /repos/o/hello", repo("o/hello"))
    github.on("GET /repos/o/none/installation", error(404, "Not Found"))
    found = Repository(42, "o/hello", "https://github.com/o/hello.git", default_branch="main", private=True)
    assert await app.find_repository("o/hello") == [found]
    assert await app.find_repository("o/none") == []


async def test_find_by_name_alone(github: StandIn, app: GitHubApp, clock: Clock) -> None:
    pages = "/app/installations?per_page=100"
    link = {"Link": f'<{{url}}{pages}&page=2>; rel="next"'}
    github.on(f"GET {pages}", Reply([installation()], headers=link))
    gone, asleep = installation(10), installation(11, suspended_at="2024-05-01T09:00:00Z")
    github.on(f"GET {pages}&page=2", [gone, asleep])
    github.on(MINT, minted("ghs_own", clock))
    github.on("POST /app/installations/10/access_tokens", error(404, "Not Found"))
    listing = "/installation/repositories?per_page=100"
    link = {"Link": f'<{{url}}{listing}&page=2>; rel="next"'}
    github.on(f"GET {listing}", Reply({"total_count": 3, "repositories": [repo("o/hello")]}, headers=link))
    others = [repo("o/hello-2", 2), repo("p/Hello", 3)]
    github.on(f"GET {listing}&page=2", {"total_count": 3, "repositories": others})

    both = await asyncio.gather(app.find_repository("hello"), app.find_repository("none"))
    assert [[found.full_name for found in list] for list in both] == [["o/hello", "p/Hello"], []]
    asked = len(github.asked)
    assert len(await app.find_repository("hello-2")) == 1
    assert len(github.asked) == asked
    clock.later(2)
    assert len(await app.find_repository("hello")) == 2
    assert len(github.asked) > asked


def test_own_checks(app: GitHubApp) -> None:
    assert app.own_checks == ("status/kedge", "run/7/", "suite/7/")


EC_PEM = (
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
)


@pytest.mark.parametrize("pem", ["", "secret-rubbish", PEM[:200], EC_PEM])
def test_a_key_that_is_none_is_not_shown(pem: str) -> None:
    with pytest.raises(ValueError, match="private key cannot be read: it must be the RSA key") as raised:
        GitHubApp(None, app_id=7, private_key=pem)  # type: ignore[arg-type]
    assert "secret-rubbish" not in str(raised.value)


async def test_close_ends_what_is_under_way(github: StandIn, app: GitHubApp) -> None:
    github.on(INSTALLED, installation())
    asking = asyncio.create_task(app.repo_token(HELLO))
    await asyncio.sleep(0)
    await app.close()
    outcome: RepoToken | BaseException
    (outcome,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)
