"""A strict stand-in for Sentry's release API.

https://docs.sentry.io/api/releases/create-a-new-release-for-an-organization/ and /create-a-deploy/: what they name as
parameters is taken, nothing else.
"""

import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.integration.notices.receiver import Got

TOKEN = "sntrys_token-of-the-tests"
RELEASE = {"version", "projects", "ref", "url", "dateReleased", "commits", "refs"}
COMMIT = {"id", "repository", "message", "author_name", "author_email", "timestamp", "patch_set"}
DEPLOY = {"environment", "name", "url", "dateStarted", "dateFinished", "projects"}
_PATH = re.compile(r"/api/0/organizations/([^/]+)/releases/(?:([^/]+)/deploys/)?")


class Sentry:
    """Organization ``acme`` with the project ``web``."""

    def __init__(self) -> None:
        self.releases: dict[str, dict[str, Any]] = {}
        self.deploys: dict[str, list[dict[str, Any]]] = {}
        self.violations: list[str] = []

    def respond(self, got: Got) -> web.Response:
        if got.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"detail": "Invalid token"}, status=401)
        match = _PATH.fullmatch(got.path)
        if not match:
            self.violations.append(f"there is no {got.path}")
            return web.Response(status=404)
        organization, version = match[1], unquote(match[2]) if match[2] else None
        if organization == "forbidden":
            return web.json_response({"detail": "You do not have permission."}, status=403)
        if organization != "acme" or (version and version not in self.releases):
            return web.json_response({"detail": "The requested resource does not exist"}, status=404)
        if got.method == "GET":
            return web.json_response(list(reversed(self.deploys[version or ""])))
        return self._deploy(version, got.json) if version else self._release(got.json)

    def _release(self, asked: dict[str, Any]) -> web.Response:
        self._judge("release", asked, RELEASE, {"version", "projects"})
        for commit in asked.get("commits", ()):
            self._judge("commit", commit, COMMIT, {"id"})
            if len(commit.get("author_name", "")) > 128:
                self.violations.append("author_name has at most 128 characters")
        if asked["projects"] != ["web"]:
            return web.json_response({"projects": ["Invalid project slugs: nope"]}, status=400)
        known = asked["version"] in self.releases
        self.releases.setdefault(asked["version"], {}).update(asked)
        self.deploys.setdefault(asked["version"], [])
        return web.json_response({"version": asked["version"]}, status=208 if known else 201)

    def _deploy(self, version: str, asked: dict[str, Any]) -> web.Response:
        self._judge("deploy", asked, DEPLOY, {"environment"})
        if len(asked["environment"]) > 64 or len(asked.get("name", "")) > 64:
            self.violations.append("environment and name have at most 64 characters")
        self.deploys[version].append(asked)
        return web.json_response({"id": str(len(self.deploys[version]))}, status=201)

    def _judge(self, what: str, asked: dict[str, Any], takes: set[str], needs: set[str]) -> None:
        if unknown := asked.keys() - takes:
            self.violations.append(f"a {what} takes no {sorted(unknown)}")
        if missing := needs - asked.keys():
            self.violations.append(f"a {what} needs {sorted(missing)}")
        for key in asked.keys() & {"dateReleased", "dateStarted", "dateFinished", "timestamp"}:
            datetime.fromisoformat(asked[key])
