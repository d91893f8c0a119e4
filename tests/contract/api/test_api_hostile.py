"""What is meant to break it is refused, and changes nothing."""

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.api.server import Served, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def state(server: Served) -> tuple[Any, ...]:
    """All that asking and locking would change."""
    headers = {"Authorization": f"Bearer {server.tokens['all']}"}
    paths = ("/api/0/apps", "/api/0/locks", "/api/0/tokens", "/api/0/audit")
    found = [requests.get(server.url + path, headers=headers, timeout=20).json() for path in paths]
    for token in found[2]["items"]:
        token.pop("last_used_at")
    return tuple(found)


LONG = "x" * 100_000
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "cursor": ("GET", "/api/0/shop/deploys?cursor=%00%ff", {}),
    "cursor of nothing": ("GET", "/api/0/audit?cursor=YmVsb3c6", {}),
    "cursor of another": ("GET", "/api/0/tokens?cursor=AAAA", {}),
    "negative limit": ("GET", "/api/0/shop/deploys?limit=-1", {}),
    "huge limit": ("GET", "/api/0/shop/deploys?limit=99999999999999999999", {}),
    "negative offset": ("GET", "/api/0/shop/deploys/1/log?offset=-1", {}),
    "huge offset": ("GET", "/api/0/shop/deploys/1/log?offset=9999999999999999999999", {}),
    "huge number": ("GET", "/api/0/shop/deploys/99999999999999999999", {}),
    "control characters": ("PUT", "/api/0/shop/locks/production", {"json": {"reason": "a\x00b\x1b[31m"}}),
    "lone surrogate": (
        "PUT",
        "/api/0/shop/locks/production",
        {"data": b'{"reason": "\\ud800"}', "headers": {"Content-Type": "application/json"}},
    ),
    "10 MB reason": ("PUT", "/api/0/shop/locks/production", {"json": {"reason": "x" * 10_000_000}}),
    "100,000 characters of ref": ("POST", "/api/0/shop/deploy", {"json": {"ref": LONG}}),
    "100,000 characters of name": ("POST", "/api/0/shop/deploy", {"json": {LONG: "x"}}),
    "deep": ("POST", "/api/0/shop/deploy", {"data": b"[" * 200_000}),
    "no object": ("POST", "/api/0/shop/deploy", {"json": ["env"]}),
    "number for a name": ("POST", "/api/0/shop/deploy", {"json": {"env": 3}}),
    "text for a flag": ("POST", "/api/0/shop/deploy", {"json": {"wait": "perhaps"}}),
    "given twice": ("POST", "/api/0/shop/deploy?env=production", {"json": {"env": "staging"}}),
    "given twice in the query": ("POST", "/api/0/shop/deploy?env=production&env=staging", {}),
    "no gzip": ("POST", "/api/0/shop/deploy", {"data": b"nonsense", "headers": {"Content-Encoding": "gzip"}}),
    "no form": (
        "POST",
        "/api/0/shop/deploy",
        {"data": b"env=%ff", "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}},
    ),
    "bytes in a path": ("GET", "/api/0/%ff%fe", {}),
    "NUL in a path": ("GET", "/api/0/shop/commits/%00", {}),
    "NUL in an environment": ("PUT", "/api/0/shop/locks/%00", {"json": {"reason": "x"}}),
    "bytes in a key": ("POST", "/api/0/shop/deploys/1/retry", {"headers": {"Idempotency-Key": b"\xff\xfe"}}),
    "empty key": ("POST", "/api/0/shop/deploys/1/retry", {"headers": {"Idempotency-Key": ""}}),
    "unknown parameter": ("GET", "/api/0/apps?nonsense=1", {}),
    "unknown path": ("GET", "/api/0/shop/nothing", {}),
    "unknown method": ("DELETE", "/api/0/apps", {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_it_is_refused_and_nothing_has_changed(server: Served, name: str) -> None:
    method, path, more = CALLS[name]
    before = state(server)
    headers = {"Authorization": f"Bearer {server.tokens['all']}", **more.get("headers", {})}
    answer = requests.request(method, server.url + path, timeout=20, **{**more, "headers": headers})
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert {"code", "message", "hint"} <= set(answer.json()["error"])
    assert len(answer.content) < 2_000
    assert state(server) == before


@pytest.mark.parametrize(
    ("token", "body"),
    [
        ("runner", b'{"claim_id": "a\\u0000", "runner": "r"}'),
        ("runner", b'{"claim_id": "a", "runner": ""}'),
        ("runner", b'{"claim_id": "a", "runner": "r", "wait_s": 1e999}'),
        ("runner", b'{"claim_id": "a", "runner": "r", "labels": ["\\u0000"]}'),
        ("lease", b'{"check_counter": 99999999999999999999, "blockers": []}'),
        ("lease", b'{"check_counter": 0, "blockers": [{"kind": "nonsense", "message": "x"}]}'),
        ("lease", b'{"check_counter": 0, "blockers": [{"kind": "checks", "message": "x", "since": "yesterday"}]}'),
    ],
)
def test_a_runner_that_talks_nonsense_is_refused(server: Served, token: str, body: bytes) -> None:
    path = "/api/0/runner/claim" if token == "runner" else f"/api/0/runner/deploys/{server.running}/hold"
    secret = server.tokens["runner"] if token == "runner" else server.lease
    answer = requests.post(server.url + path, data=body, headers={"Authorization": f"Bearer {secret}"}, timeout=20)
    assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("/api/0/" + LONG, ""),
        ("/api/0/apps", "X-Long: " + LONG),
        ("/api/0/apps", "Kedge-Wire-Version: \xff"),
        ("/api/0/runner/claim", "Kedge-Wire-Version: \xff"),
        ("/api/0/\xff\xfe", ""),
        ("/\xff\xfe", ""),
        ("/api/0/apps", "Authorization: Bearer \xff"),
    ],
)
def test_raw_bytes_are_no_failure(server: Served, target: str, header: str) -> None:
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    lines = [f"GET {target} HTTP/1.1", "Host: x", *([header] if header else []), "Connection: close", "", ""]
    connection.connect()
    connection.sock.sendall("\r\n".join(lines).encode("latin-1"))
    status = int(connection.sock.makefile("rb").readline().split()[1])
    connection.close()
    assert 300 <= status < 500
