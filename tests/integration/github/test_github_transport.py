"""HTTP to GitHub: revalidation, limits, failures, redirections, renewed tokens."""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from ghapp.core.remote import Forbidden, NotFound, RateLimited, Refused, RemoteError, Unauthorized, Unavailable
from ghapp.core.values import DeploymentStatus
from ghapp.vcs.github import GitHubRepository
from ghapp.vcs.github_transport import Authorized, GitHubTransport
from tests.integration.github.stand_in import DROP, TOKEN, Reply, StandIn, error, repository_at, tokens

PERMISSION = "GET /repos/o/r/collaborators/alice/permission"
NEWEST = "GET /repos/o/r/deployments/5/statuses?per_page=1"
WRITE = "POST /repos/o/r/deployments/5/statuses"
ADMIN, READ = {"permission": "admin"}, {"permission": "read"}


async def test_an_answer_is_revalidated_and_never_trusted(github: StandIn, repository: GitHubRepository) -> None:
    kept = {"ETag": 'W/"1"', "Cache-Control": "private, max-age=60, s-maxage=60"}
    github.on(PERMISSION, Reply(ADMIN, headers=kept), Reply(b"", headers=kept), Reply(READ, headers={"ETag": '"2"'}))
    assert await repository.permission("alice") == "admin"
    assert await repository.permission("alice") == "admin"  # the stand-in answered 304 without a body
    assert await repository.permission("alice") == "read"
    assert [asked.headers.get("If-None-Match") for asked in github.asked] == [None, 'W/"1"', 'W/"1"']


async def test_pages_are_revalidated_one_by_one(github: StandIn, repository: GitHubRepository) -> None:
    second = "/repos/o/r/git/matching-refs/heads/r?per_page=100&page=2"
    headers = {"ETag": '"1"', "Link": f'<{{url}}{second}>; rel="next"'}
    github.on("GET /repos/o/r/git/matching-refs/heads/r?per_page=100", Reply([], headers=headers))
    github.on(f"GET {second}", Reply([], headers={"ETag": '"2"'}))
    for _ in range(2):
        assert not await repository.reachable("a" * 40, ["r*"])
    assert [asked.headers.get("If-None-Match") for asked in github.asked] == [None, None, '"1"', '"2"']


async def test_what_one_token_saw_is_not_shown_to_another(github: StandIn, session: aiohttp.ClientSession) -> None:
    repository = repository_at(session, github.url, "o/r", tokens("one", "two"))
    github.on(PERMISSION, Reply(ADMIN, headers={"ETag": '"1"'}), Reply(READ, headers={"ETag": '"1"'}))
    assert await repository.permission("alice") == "admin"
    assert await repository.permission("alice") == "read"
    assert [asked.headers.get("If-None-Match") for asked in github.asked] == [None, None]


@pytest.mark.parametrize(
    ("limited", "least", "most"),
    [
        (error(403, "You have exceeded a secondary rate limit.", Retry_After="17"), 17, 17),
        (error(429, "Too many requests", Retry_After="17"), 17, 17),
        (error(429, "Too many requests"), 60, 60),
        (error(429, "Too many requests", Retry_After="soon"), 60, 60),
        (error(403, "You have exceeded a secondary rate limit. Please wait a few minutes"), 60, 60),
        (error(403, "API rate limit", X_RateLimit_Remaining="0", X_RateLimit_Reset="1"), 1, 1),
    ],
)
async def test_limits_say_how_long_to_wait(
    github: StandIn, repository: GitHubRepository, limited: Reply, least: float, most: float
) -> None:
    github.on(PERMISSION, limited)
    with pytest.raises(RateLimited, match="Next try in") as raised:
        await repository.permission("alice")
    assert least <= raised.value.retry_after_s <= most
    assert raised.value.status in (403, 429)


async def test_limits_that_name_a_moment_say_how_long_to_wait(github: StandIn, repository: GitHubRepository) -> None:
    now = time.time()
    date = error(403, "x", Retry_After=formatdate(now + 100, usegmt=True))
    reset = error(403, "API rate limit", X_RateLimit_Remaining="0", X_RateLimit_Reset=str(int(now) + 1000))
    github.on(PERMISSION, date, reset)
    for least, most in ((60, 101), (800, 1001)):
        with pytest.raises(RateLimited) as raised:
            await repository.permission("alice")
        assert least <= raised.value.retry_after_s <= most


async def test_a_limit_that_is_not_used_up_is_no_limit(github: StandIn, repository: GitHubRepository) -> None:
    github.on(PERMISSION, error(403, "Must have push access", X_RateLimit_Remaining="12", X_RateLimit_Reset="1"))
    with pytest.raises(Forbidden, match=r"GitHub answered 403 to GET /repos/o/r/coll.*: Must have push access"):
        await repository.permission("alice")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (408, Unavailable),
        (409, Refused),
        (410, NotFound),
        (422, Refused),
        (451, Refused),
        (500, Unavailable),
        (503, Unavailable),
        (520, Unavailable),
    ],
)
@pytest.mark.parametrize("page", [b'{"message": "No."}', b"<html>Unicorn!</html>", b"", b'{"message": 7}', b"[[[["])
async def test_every_status_has_its_kind(
    github: StandIn, repository: GitHubRepository, status: int, kind: type[RemoteError], page: bytes
) -> None:
    github.on(NEWEST, Reply(page, status))
    with pytest.raises(kind, match=f"GitHub answered {status} to GET /repos/o/r/deployments/5/statuses") as raised:
        await repository.newest_status(5)
    assert raised.value.status == status
    assert ("No." in raised.value.message) == (page == b'{"message": "No."}')


async def test_a_dropped_connection(github: StandIn, repository: GitHubRepository) -> None:
    """What came of a POST is unknown, so it is not repeated here."""
    github.on(WRITE, DROP)
    with pytest.raises(Unavailable, match=r"connection to 127\.0\.0\.1 broke"):
        await repository.create_status(5, DeploymentStatus("success", ""))
    assert github.calls() == [WRITE]


async def test_nobody_listens(session: aiohttp.ClientSession) -> None:
    repository = repository_at(session, f"http://127.0.0.1:{unused_port()}", "o/r", tokens(TOKEN))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 cannot be reached: Connect"):
        await repository.permission("alice")


@asynccontextmanager
async def silent_server(first: bytes = b"") -> AsyncIterator[str]:
    """Takes requests, sends ``first`` and nothing more until its client hangs up."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "first", [b"", b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"per']
)
async def test_an_answer_that_does_not_come_or_does_not_end(session: aiohttp.ClientSession, first: bytes) -> None:
    async with silent_server(first) as url:
        transport = GitHubTransport(session, url, timeout=aiohttp.ClientTimeout(total=0.2))
        api = Authorized(transport, tokens(TOKEN))
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1 did not answer within 0\.2 s"):
            await api.item("/app", dict)


async def test_a_token_that_was_renewed_is_tried_once_more(github: StandIn, session: aiohttp.ClientSession) -> None:
    repository = repository_at(session, github.url, "o/r", tokens("old", "new"))
    github.on(WRITE, error(401, "Bad credentials"), Reply({}, 201))
    await repository.create_status(5, DeploymentStatus("success", ""))
    assert [asked.token for asked in github.asked] == ["old", "new"]


async def test_a_token_that_stays_refused(github: StandIn, session: aiohttp.ClientSession) -> None:
    github.on(WRITE, error(401, "Bad credentials"))
    renewed = repository_at(session, github.url, "o/r", tokens("old", "new"))
    with pytest.raises(Unauthorized, match="Bad credentials"):
        await renewed.create_status(5, DeploymentStatus("success", ""))
    not_renewed = repository_at(session, github.url, "o/r", tokens("only"))
    with pytest.raises(Unauthorized):
        await not_renewed.create_status(5, DeploymentStatus("success", ""))
    assert [asked.token for asked in github.asked] == ["old", "new", "only"]


async def test_a_renamed_repository_is_followed(github: StandIn, repository: GitHubRepository) -> None:
    moved = "/repositories/1/collaborators/alice/permission"
    github.on(PERMISSION, Reply({"message": "Moved Permanently"}, 301, {"Location": f"{{url}}{moved}"}))
    github.on(f"GET {moved}", ADMIN)
    assert await repository.permission("alice") == "admin"
    assert {asked.token for asked in github.asked} == {TOKEN}


async def test_a_status_follows_a_rename_as_it_was(github: StandIn, repository: GitHubRepository) -> None:
    """GitHub has done nothing when it answers 307, and says that the same request belongs elsewhere."""
    github.on(WRITE, Reply({}, 307, {"Location": "/repositories/1/deployments/5/statuses"}))
    github.on("POST /repositories/1/deployments/5/statuses", Reply({}, 201))
    await repository.create_status(5, DeploymentStatus("success", "done"))
    assert github.asked[0].body == github.asked[1].body


async def test_a_status_is_never_turned_into_something_else(github: StandIn, repository: GitHubRepository) -> None:
    github.on(WRITE, Reply({}, 301, {"Location": "/repositories/1/deployments/5/statuses"}))
    with pytest.raises(Refused, match="answered 301"):
        await repository.create_status(5, DeploymentStatus("success", ""))
    assert github.calls() == [WRITE]


async def test_no_redirection_leads_to_another_host(github: StandIn, repository: GitHubRepository) -> None:
    async with StandIn().running() as other:
        github.on(PERMISSION, Reply({}, 302, {"Location": f"{other.url}/x"}))
        with pytest.raises(Refused, match="does not follow to another host"):
            await repository.permission("alice")
        assert other.asked == []


async def test_no_page_lies_at_another_host(github: StandIn, repository: GitHubRepository) -> None:
    async with StandIn().running() as other:
        link = {"Link": f'<{other.url}/page2>; rel="next"'}
        github.on("GET /repos/o/r/git/matching-refs/heads/?per_page=100", Reply([], headers=link))
        with pytest.raises(Refused, match="GITHUB_API_URL"):
            await repository.reachable("a" * 40, ["*"])
        assert other.asked == []


async def test_redirections_end(github: StandIn, repository: GitHubRepository) -> None:
    github.on(PERMISSION, Reply({}, 302, {"Location": PERMISSION.partition(" ")[2]}))
    with pytest.raises(Unavailable, match="one redirection after another"):
        await repository.permission("alice")


async def test_an_enterprise_server(session: aiohttp.ClientSession) -> None:
    async with StandIn(base="/api/v3").running() as github:
        second = "/repos/o/r/git/matching-refs/heads/r?per_page=100&page=2"
        link = {"Link": f'<{{url}}{second}>; rel="next"'}
        github.on("GET /repos/o/r/git/matching-refs/heads/r?per_page=100", Reply([], headers=link))
        github.on(f"GET {second}", [])
        for base in (github.url, f"{github.url}/"):
            assert not await repository_at(session, base, "o/r", tokens(TOKEN)).reachable("a" * 40, ["r*"])
        assert len(github.asked) == 4
        assert github.unexpected == []


FAILURES = [
    error(401, f"Bad credentials: token {TOKEN}"),
    error(422, "Validation Failed", errors=[{"message": f"Authorization: token {TOKEN}"}]),
    error(403, f"{TOKEN} must wait", Retry_After="1"),
    error(500, TOKEN),
    Reply(TOKEN.encode(), 500),
    Reply(TOKEN.encode()),
    Reply([TOKEN]),
    Reply({"permission": [TOKEN]}),
    DROP,
]


@pytest.mark.parametrize("reply", FAILURES)
async def test_no_token_in_any_error_or_log(
    github: StandIn, repository: GitHubRepository, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in what is shown of the error, nor in what hangs on it. The answer repeats the token on purpose."""
    caplog.set_level(logging.DEBUG)
    github.on(PERMISSION, reply)
    with pytest.raises(RemoteError) as raised:
        await repository.permission("alice")
    error: BaseException | None = raised.value
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    while error is not None:
        shown += f"{error}{error!r}{error.args}{vars(error)}"
        error = error.__cause__ or error.__context__
    assert TOKEN not in shown
