"""Set-up's pages: a one-time code opens them, GitHub makes the App, and each step shows when it is done.

No sign-in is asked for: the code is told where only the operator reads. The browser that it was typed in gets a sealed
cookie for an hour, and the state that travels through GitHub is good for that browser alone.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from cryptography.fernet import InvalidToken, MultiFernet

from ghapp.api.common import CONTEXT, SETTINGS, Handler
from ghapp.api.params import form
from ghapp.config import Settings
from ghapp.config_github import GitHubHost
from ghapp.core.remote import NotFound, RemoteError
from ghapp.credentials import Credentials
from ghapp.sealing import sealer
from ghapp.service import setting_up
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.vcs import github_manifest
from ghapp.vcs.session import open_session
from ghapp.web.shell import CSP, NO_PAGES, page, refusal

log = structlog.get_logger(__name__)

COOKIE = "kedge-setup"
OPEN_S = 60 * 60
#: https://docs.github.com/en/rest/users/users
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_BEGIN_AGAIN = "Begin again at /setup. An App that was made meanwhile can be deleted in its settings at GitHub."


@dataclass(slots=True)
class Setup:
    """One per process, while the App is to be made at ``host``: ``keep`` stores its credentials for good unless there
    are some, ``made`` is set once that is done. ``one`` is held meanwhile, so that no other App takes its place."""

    host: GitHubHost
    code: setting_up.Code
    keep: Callable[[Context, Credentials], Awaitable[bool]]
    made: asyncio.Event = field(default_factory=asyncio.Event)
    one: asyncio.Lock = field(default_factory=asyncio.Lock)
    credentials: Credentials | None = None


SETUP: web.AppKey[Setup] = web.AppKey("setup", Setup)


@web.middleware
async def until_set_up(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Until there is an App only set-up is open: who looks for a page is led there, programs are told."""
    if not _is_open(request) or request.path.startswith(("/setup", "/static/", "/healthz", "/readyz")):
        return await handler(request)
    if request.method in {"GET", "HEAD"} and not request.path.startswith(NO_PAGES):
        return _to("/setup")
    raise Problem("unavailable", "Kedge is not set up yet.", hint=f"Open {request.app[SETTINGS].url}/setup.")


async def show(request: web.Request) -> web.Response:
    """The step that is next: the code, whose App it shall be, or how far everything is."""
    github, browser = request.app[SETTINGS].github, _browser(request)
    if github is None:
        if _open(request).credentials:
            return _to_the_next()
        return _choice(request, browser) if browser else _code_form(request)
    if browser is None or github.made_at is None:
        return refusal(request, 200, "The GitHub App is set up.")
    progress = await setting_up.progress(request.app[CONTEXT], github.made_at)
    settings = request.app[SETTINGS]
    return page(
        request, "setup_progress.html", github=github, progress=progress, url=settings.url, inbound=settings.inbound
    )


async def enter(request: web.Request) -> web.Response:
    """The one-time code: good once, and only so many are tried."""
    setup, ctx = _open(request), request.app[CONTEXT]
    _same_origin(request)
    if not setup.code.take((await form(request)).get("code", ""), ctx.now()):
        ctx.limits.refused(request.remote, ctx.now())
        return _code_form(request, problem="This is not the code, or it was used already, or its hour is over.")
    response = _to("/setup")
    response.set_cookie(
        COOKIE,
        _sealed(request, "browser", secrets.token_urlsafe(18)),
        max_age=OPEN_S,
        path="/setup",
        httponly=True,
        samesite="Lax",  # GitHub sends the browser back
        secure=request.app[SETTINGS].url.startswith("https:"),
    )
    return response


async def renew(request: web.Request) -> web.Response:
    setup = _open(request)
    _same_origin(request)
    if setup.code.issue(request.app[CONTEXT].now()):
        return _code_form(request, notice="A new code stands where Kedge was started, or in its log.")
    return _code_form(request, notice="The code that was told is still good.")


async def create(request: web.Request) -> web.Response:
    """The manifest, in the form that this browser sends to GitHub."""
    setup, settings, browser = _open(request), request.app[SETTINGS], _browser(request)
    fields = await form(request)
    if browser is None or _opened(request, "form", fields.get("csrf", "")) != browser:
        raise Problem("forbidden", "This form is not of this browser's set-up.", hint="Load /setup again.")
    organization = fields.get("organization", "").strip() if fields.get("owner") == "organization" else None
    if organization is not None and not _ACCOUNT.fullmatch(organization):
        return _choice(request, browser, "Name the organization as it stands in its address at GitHub.", organization)
    manifest = github_manifest.manifest(
        name=f"kedge-{organization or secrets.token_hex(3)}", url=settings.url, called=settings.inbound == "webhooks"
    )
    action = github_manifest.registration_url(setup.host.web_url, organization, _sealed(request, "state", browser))
    text = json.dumps(manifest, indent=2)
    response = page(request, "setup_create.html", action=action, manifest=text, name=manifest["name"], host=setup.host)
    # Where somebody has to sign in first, GitHub may lead on to another host, as single sign-on does.
    response.headers["Content-Security-Policy"] = CSP.replace(
        "form-action 'self'", f"form-action 'self' https: {setup.host.web_url}"
    )
    return response


async def created(request: web.Request) -> web.Response:
    """GitHub sends the browser back: trade the code for the App's credentials, and keep them before anything else."""
    settings, setup = request.app[SETTINGS], request.app.get(SETUP)
    if settings.github is not None or (setup and setup.credentials):
        return _to_the_next()
    setup, browser, code = _open(request), _browser(request), request.query.get("code", "")
    if browser is None or _opened(request, "state", request.query.get("state", "")) != browser:
        raise Problem("forbidden", "GitHub's answer is not to this browser's question.", hint=_BEGIN_AGAIN)
    if not _CODE.fullmatch(code):
        raise Problem("bad_request", "GitHub's answer holds no code.", hint=_BEGIN_AGAIN)
    # The code is good once: a browser that goes meanwhile, or asks again, must not cost what it was traded for.
    await asyncio.shield(_make(setup, settings, request.app[CONTEXT], code))
    return _to_the_next()


async def _make(setup: Setup, settings: Settings, ctx: Context, code: str) -> None:
    """Nothing where another App was kept meanwhile: Kedge is about to run with that one. Raises Problem."""
    async with setup.one:
        if setup.credentials is None:
            await _trade(setup, settings, ctx, code)


async def _trade(setup: Setup, settings: Settings, ctx: Context, code: str) -> None:
    credentials = await _converted(setup, code, ctx.now())
    if settings.inbound == "webhooks" and not credentials.webhook_secret:
        raise Problem("provider", "GitHub gave no webhook secret with the App.", hint=_BEGIN_AGAIN)
    try:
        kept = await setup.keep(ctx, credentials)
    except OSError as error:
        log.exception("the GitHub App's credentials could not be kept", page=credentials.page)
        said = f"The App was made, but its credentials could not be kept ({error.strerror})."
        raise Problem("unavailable", said, hint=_BEGIN_AGAIN) from error
    if not kept:
        hint = f"To use that one, end Kedge and start it again; this one can be deleted at {credentials.page}."
        raise Problem("conflict", "Another set-up has kept a GitHub App meanwhile.", hint=hint)
    log.info("GitHub App made", slug=credentials.slug, owner=credentials.owner, page=credentials.page)
    setup.credentials = credentials
    setup.made.set()


async def _converted(setup: Setup, code: str, now: int) -> Credentials:
    try:
        async with open_session() as session:
            made = await github_manifest.convert(session, setup.host.api_url, code)
    except NotFound as error:
        said = "GitHub does not know this code any more: it is good once, and for one hour."
        raise Problem("provider", said, hint=_BEGIN_AGAIN) from error
    except RemoteError as error:
        raise Problem("provider", error.message, hint=_BEGIN_AGAIN) from error
    return Credentials(
        app_id=made.id,
        slug=made.slug,
        owner=made.owner.login or made.owner.slug,
        page=made.html_url,
        api_url=setup.host.api_url,
        private_key=made.pem,
        webhook_secret=made.webhook_secret,
        client_id=made.client_id,
        client_secret=made.client_secret,
        created_at=now,
    )


# What the steps share


def _is_open(request: web.Request) -> bool:
    return SETUP in request.app and request.app[SETTINGS].github is None


def _open(request: web.Request) -> Setup:
    """Raises Problem where there is nothing to set up."""
    setup = request.app.get(SETUP)
    if setup is None or not _is_open(request):
        raise Problem("not_found", "Nothing is to be set up here.", hint="kedge setup, in a terminal, begins it.")
    return setup


def _code_form(request: web.Request, *, problem: str | None = None, notice: str | None = None) -> web.Response:
    return page(request, "setup_code.html", 403 if problem else 200, problem=problem, notice=notice)


def _choice(request: web.Request, browser: str, problem: str | None = None, organization: str = "") -> web.Response:
    setup, settings = _open(request), request.app[SETTINGS]
    return page(
        request,
        "setup_choose.html",
        422 if problem else 200,
        own=_sealed(request, "form", browser),
        problem=problem,
        organization=organization,
        host=setup.host,
        obstacle=obstacle(settings),
        purposes=github_manifest.PURPOSES,
    )


def obstacle(settings: Settings) -> str | None:
    """Why GitHub would not take, or not reach, the address of this Kedge; a sentence that says what to do."""
    url, host = settings.url, settings.setup
    if host is None or settings.inbound == "none" or not github_manifest.on_this_machine(url):
        return None
    if github_manifest.on_this_machine(host.api_url):
        return None
    return (
        f"GitHub cannot call {url}, which is this machine alone. Set KEDGE_URL to the address that GitHub reaches "
        "Kedge by, such as https://kedge.example.com; or set KEDGE_INBOUND=none, and Kedge asks GitHub for its events."
    )


def _browser(request: web.Request) -> str | None:
    return _opened(request, "browser", request.cookies.get(COOKIE, ""))


def _sealed(request: web.Request, purpose: str, browser: str) -> str:
    return _sealer(request, purpose).encrypt(browser.encode()).decode()


def _opened(request: web.Request, purpose: str, text: str) -> str | None:
    try:
        return _sealer(request, purpose).decrypt(text.encode(errors="replace"), ttl=OPEN_S).decode()
    except InvalidToken:
        return None


def _sealer(request: web.Request, purpose: str) -> MultiFernet:
    return sealer(request.app[SETTINGS].secret_keys, f"setup {purpose}")


def _same_origin(request: web.Request) -> None:
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise Problem("forbidden", "This form was sent by another site, so nothing was changed.")


def _to_the_next() -> web.Response:
    """To the page as the next application shows it: by another connection, for this one's is about to end."""
    response = _to("/setup")
    response.force_close()
    return response


def _to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


ROUTES = (
    web.get("/setup", show),
    web.post("/setup/code", enter),
    web.post("/setup/new-code", renew),
    web.post("/setup/create", create),
    web.get("/setup/created", created, allow_head=False),
)
