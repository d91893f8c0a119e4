"""Sign-in through an App: the page on which a person lets it know who they are, and what it gets for the code.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from aiohttp import web

from .state import App, Code, Token
from .world import World

PATH = "/login/oauth/"
CODE_LIFETIME_S = 600
#: Of the token and of what renews it (eight hours, six months).
TOKEN_LIFETIME_S = 28_800
REFRESH_LIFETIME_S = 15_897_600

_MANAGING = "/apps/managing-oauth-apps"
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Authorize {app} · sandbox GitHub</title>
<body style="font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto; padding: 0 1rem">
<h1>Authorize {app}</h1>
<p>This is the sandbox GitHub. Choose whom {app} shall know you as.</p>
<form method="post" action="/login/oauth/authorize">
{asked}
{people}
<p><button name="deny" value="1">Cancel</button></p>
</form></body></html>
"""


async def serve(request: web.Request, world: World) -> web.Response:
    """Answer one request below `PATH`."""
    match request.method, request.path.removeprefix(PATH):
        case "GET", "authorize":
            return _ask(world, request.query)
        case "POST", "authorize":
            return _decided(world, await _fields(request))
        case "POST", "access_token":
            return _encoded(request, *_exchange(world, {**request.query, **await _fields(request)}))
    return web.Response(status=404, text="Not Found")


async def _fields(request: web.Request) -> dict[str, str]:
    """The fields of a form or of a JSON object."""
    if request.content_type.endswith("json"):
        values = json.loads(await request.text())
        return {name: str(value) for name, value in values.items()}
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


# The page


def _app_of(world: World, client_id: str | None) -> App | None:
    return next((app for app in world.state.apps.values() if app.client_id == client_id and app.client_secret), None)


def _checked(world: World, asked: Mapping[str, str]) -> App | web.Response:
    """The App that asks, or the answer to a request that is wrong."""
    app = _app_of(world, asked.get("client_id"))
    if app is None:
        return web.Response(status=404, text="Not Found")
    if not app.callback_urls:
        return web.Response(status=400, text=f"{app.slug} has no callback URL.")
    if asked.get("redirect_uri", app.callback_urls[0]) not in app.callback_urls:
        description = "The redirect_uri MUST match the registered callback URL for this application."
        return _back(app.callback_urls[0], asked, error="redirect_uri_mismatch", error_description=description)
    if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
        return _to(app, asked, error="invalid_request", error_description="code_challenge_method must be S256.")
    return app


def _ask(world: World, asked: Mapping[str, str]) -> web.Response:
    app = _checked(world, asked)
    if isinstance(app, web.Response):
        return app
    hidden = [f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in asked.items()]
    logins = [one.login for one in world.state.accounts.values() if one.type == "User"]
    buttons = [
        f'<p><button name="login" value="{escape(one)}">Authorize as {escape(one)}</button></p>' for one in logins
    ]
    page = _PAGE.format(app=escape(app.slug), asked="\n".join(hidden), people="\n".join(buttons))
    return web.Response(text=page, content_type="text/html")


def _decided(world: World, sent: Mapping[str, str]) -> web.Response:
    app = _checked(world, sent)
    if isinstance(app, web.Response):
        return app
    if sent.get("deny"):
        description = "The user has denied your application access."
        uri = "/apps/building-oauth-apps/troubleshooting-authorization-request-errors/#access-denied"
        return _to(app, sent, error="access_denied", error_description=description, error_uri=uri)
    who = world.state.account(sent.get("login", ""))
    if who is None or who.type != "User":
        return web.Response(status=422, text="There is no such person.")
    code = Code(
        value=secrets.token_hex(10),
        app_id=app.id,
        account=who,
        redirect_uri=sent.get("redirect_uri", app.callback_urls[0]),
        challenge=sent.get("code_challenge", ""),
        expires_at=world.clock() + CODE_LIFETIME_S * 1000,
    )
    world.state.codes[code.value] = code
    return _to(app, sent, code=code.value)


def _to(app: App, asked: Mapping[str, str], **answer: str) -> web.Response:
    return _back(asked.get("redirect_uri", app.callback_urls[0]), asked, **answer)


def _back(uri: str, asked: Mapping[str, str], **answer: str) -> web.Response:
    state = {"state": asked["state"]} if "state" in asked else {}
    query = urlencode({**answer, **state})
    return web.Response(status=302, headers={"Location": f"{uri}{'&' if '?' in uri else '?'}{query}"})


# The code's worth


def _exchange(world: World, sent: Mapping[str, str]) -> tuple[int, dict[str, object]]:
    """Status and answer. What is wrong is told with 200
    (https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors).
    """
    app = _app_of(world, sent.get("client_id"))
    if app is None:
        return 404, {"error": "Not Found"}
    if not hmac.compare_digest(sent.get("client_secret", "").encode(), app.client_secret.encode()):
        said = "The client_id and/or client_secret passed are incorrect."
        return 200, _error("incorrect_client_credentials", said)
    code = world.state.codes.pop(sent.get("code", ""), None)
    if code is None or code.app_id != app.id or code.expires_at <= world.clock() or not _proven(code, sent):
        return 200, _error("bad_verification_code", "The code passed is incorrect or expired.")
    if sent.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
        said = "The redirect_uri MUST match the registered callback URL for this application."
        return 200, _error("redirect_uri_mismatch", said)
    expires_at = world.clock() + TOKEN_LIFETIME_S * 1000
    token = Token("ghu_" + secrets.token_hex(18), code.account, expires_at=expires_at, app_id=app.id)
    world.state.tokens[token.value] = token
    return 200, {
        "access_token": token.value,
        "expires_in": TOKEN_LIFETIME_S,
        "refresh_token": "ghr_" + secrets.token_hex(38),
        "refresh_token_expires_in": REFRESH_LIFETIME_S,
        "token_type": "bearer",
        "scope": "",
    }


def _proven(code: Code, sent: Mapping[str, str]) -> bool:
    """PKCE: https://www.rfc-editor.org/rfc/rfc7636#section-4.6"""
    verifier = sent.get("code_verifier", "")
    if not code.challenge:
        return not verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") == code.challenge


def _error(code: str, description: str) -> dict[str, object]:
    page = f"{_MANAGING}/troubleshooting-oauth-app-access-token-request-errors/#{code.replace('_', '-')}"
    return {"error": code, "error_description": description, "error_uri": page}


def _encoded(request: web.Request, status: int, answer: dict[str, object]) -> web.Response:
    """As JSON where that is asked for, else as a form."""
    if "json" in request.headers.get("Accept", ""):
        return web.json_response(answer, status=status)
    return web.Response(status=status, text=urlencode(answer), content_type="application/x-www-form-urlencoded")
