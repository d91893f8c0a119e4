"""Sign-in with GitHub: the web flow of the GitHub App, which tells who somebody is and keeps no token of theirs.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

import re
import time
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from ghapp.core.remote import Refused, RemoteError, Unauthorized, Unavailable
from ghapp.vcs.base import Person
from ghapp.vcs.github_errors import failure, network_failure
from ghapp.vcs.github_shapes import Id
from ghapp.vcs.github_transport import TIMEOUT, Authorized, GitHubTransport
from ghapp.vcs.session import proxy_for

_TOKEN_PATH = "/login/oauth/access_token"  # noqa: S105  where one is asked for


class _TokenShape(msgspec.Struct, kw_only=True):
    """What went wrong is told with status 200 too."""

    access_token: str = ""
    error: str = ""

    def __repr__(self) -> str:
        return f"_TokenShape(error={self.error!r})"


class _UserShape(msgspec.Struct, kw_only=True):
    login: str
    id: Id


class GitHubSignIn:
    """See `SignIn`. ``web_url`` is the base of GitHub's pages, ``api_url`` that of its API."""

    title = "GitHub"

    def __init__(
        self, session: aiohttp.ClientSession, *, client_id: str, client_secret: str, web_url: str, api_url: str
    ) -> None:
        self._session = session
        self._client_id = client_id
        self._client_secret = client_secret
        self._web_url = web_url
        self._api_url = api_url

    def page(self, *, callback: str, state: str, challenge: str) -> str:
        query = {
            "client_id": self._client_id,
            "redirect_uri": callback,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._web_url}/login/oauth/authorize?{urlencode(query)}"

    async def person(self, *, callback: str, code: str, verifier: str) -> Person:
        token = await self._token(callback, code, verifier)

        async def own() -> str:
            return token

        # A transport of its own, so that nothing of this person is kept.
        found = await Authorized(GitHubTransport(self._session, self._api_url), own).item("/user", _UserShape)
        return Person(found.login, found.id)

    async def _token(self, callback: str, code: str, verifier: str) -> str:
        fields = {
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "code": code,
            "redirect_uri": callback,
            "code_verifier": verifier,
        }
        answer = await self._post(fields)
        if not answer.access_token:
            raise _refusal(answer.error, callback)
        return answer.access_token

    async def _post(self, fields: dict[str, str]) -> _TokenShape:
        url = self._web_url + _TOKEN_PATH
        try:
            async with self._session.post(
                url,
                data=fields,
                headers={"Accept": "application/json"},
                allow_redirects=False,
                timeout=TIMEOUT,
                **proxy_for(url),
            ) as response:
                status, headers, body = response.status, response.headers, await response.read()
        except (aiohttp.ClientError, OSError) as error:
            problem: RemoteError = network_failure(error, host=str(URL(url).host), total_s=TIMEOUT.total or 0)
        else:
            if status == 200:
                return _read(body)
            if status == 404:  # so it answers to a client it does not know
                raise _refusal("incorrect_client_credentials", "")
            problem = failure(status, headers, body, call=f"POST {_TOKEN_PATH}", now=time.time())
        raise problem  # outside of the handler: the library's error may hold the request


def _read(body: bytes) -> _TokenShape:
    try:
        return msgspec.json.decode(body, type=_TokenShape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise Unavailable("GitHub's answer to the sign-in cannot be understood.")


def _refusal(error: str, callback: str) -> RemoteError:
    """https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors"""
    match error:
        case "bad_verification_code":
            return Refused("GitHub did not accept the code of this sign-in: it was used before, or is too old.")
        case "incorrect_client_credentials":
            return Unauthorized(
                "GitHub does not know Kedge by its GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET; whoever runs Kedge has "
                "to set them as they are on the GitHub App's settings page."
            )
        case "redirect_uri_mismatch":
            return Refused(
                f"The GitHub App does not have the callback URL {callback}; its owner has to add it in its settings."
            )
        case "unverified_user_email":
            return Refused("GitHub lets you in only when you have verified your email address there.")
    named = f" ({error})" if re.fullmatch(r"[a-z_]{1,64}", error) else ""
    return Refused(f"GitHub refused the sign-in{named}.")
