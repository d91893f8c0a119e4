"""Every route with every token, against what the table says."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ghapp.api.openapi import ERROR, document, refusals
from ghapp.api.routes import ROUTES
from ghapp.api.routing import Route
from ghapp.core.actors import SCOPES
from ghapp.service.problems import CODES
from tests.contract.api.server import Served, served

#: Here more than the scope is asked for: ana is no admin of the repository, and the token is not her own.
WIDE = frozenset({"/api/0/locks", "/api/0/{app}/locks"})
#: Enough for each of the runner's calls.
REPORT = {"check_counter": 0, "blockers": [{"kind": "checks", "message": "x"}], "ended_by": "exit"}
TOKENS = (*SCOPES, "all", "none")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def let_in(route: Route[Any], token: str) -> bool:
    """What a token with this one scope is good for: admin stands for everything but what runners do."""
    if route.scope is None:
        return True
    if route.scope == "lease" or token == "none":
        return False
    if route.scope == "runner":
        return token == "runner"
    if route.scope == "token" or (route.path in WIDE and route.method == "DELETE"):
        return token in {"admin", "all"}
    return token in {route.scope, "admin", "all"}


def call(server: Served, route: Route[Any], token: str | None, **more: Any) -> requests.Response:
    values = {"app": "shop", "number": "99", "env": "production", "sha": "aaaaaaa", "id": "99"}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = server.url + route.path.format(**values)
    return requests.request(route.method, url, headers=headers | more.pop("headers", {}), timeout=20, **more)


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.method} {one.path}")
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_good_for_what_the_table_says(server: Served, route: Route[Any], token: str) -> None:
    """Nothing that is meant by these paths exists, so whoever is let in changes nothing."""
    report = {"json": REPORT, "params": {"offset": 0}} if route.scope == "lease" else {}
    answer = call(server, route, server.tokens[token], allow_redirects=False, **report)
    if let_in(route, token):
        assert answer.status_code not in {401, 403}, answer.text
    elif token == "none":
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    else:
        wanted = {"lease": {409}, "runner": {401, 403}}.get(route.scope or "", {403})
        assert answer.status_code in wanted, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert {"code", "message", "hint"} <= set(error)
        assert error["message"].endswith((".", "?"))
        documented = {CODES[code] for code in refusals(route)}
        assert answer.status_code in documented


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_every_route_is_documented_and_every_refusal_has_the_one_shape(route: Route[Any]) -> None:
    assert route.summary.endswith(".")
    operation = document(ROUTES)["paths"][route.path][route.method.lower()]
    for status, answer in operation["responses"].items():
        if int(status) >= 400 and int(status) not in route.answers:
            schema = answer["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorBody"}
    assert set(operation["responses"]) == {
        *(str(status) for status in route.answers),
        *(str(CODES[code]) for code in refusals(route)),
    }


def test_the_one_shape_names_every_code() -> None:
    assert set(CODES) < set(ERROR["properties"]["error"]["properties"]["code"]["enum"])


def test_each_path_and_method_is_in_the_table_once() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
