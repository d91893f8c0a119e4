"""The page of the API says what the document says, to everybody, and its examples are calls that are answered."""

import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests

from ghapp.api.openapi import document
from ghapp.api.routes import ROUTES
from ghapp.web import docs
from tests.contract.api.server import Served, served

DOCUMENT = document(ROUTES)
OPERATIONS = [one for group in docs.groups(DOCUMENT, "http://kedge.example") for one in group.operations]
#: What an example is answered with where what it names does not exist.
NOT_THERE = {404, 409}


class _Page(HTMLParser):
    """Its text, its ids, where its links lead, and the tags and attributes that a browser would run or load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links |= {given["href"] or ""} if tag == "a" else set()
        self.loads |= {given.get("src") or given.get("href") or ""} if tag in {"script", "link", "img"} else set()
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture(scope="module")
def page(server: Served) -> _Page:
    answer = requests.get(f"{server.url}/docs", timeout=20)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return _Page(answer.text)


def test_every_row_of_the_table_has_its_place(page: _Page) -> None:
    assert len(OPERATIONS) == len(ROUTES)
    for one in OPERATIONS:
        assert one.anchor in page.ids and f"#{one.anchor}" in page.links
        assert f"{one.method} {one.path}" in page.text
        assert one.curl in page.text


def test_whatever_is_linked_within_is_there_once(page: _Page) -> None:
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert {f"type-{name}" for name in DOCUMENT["components"]["schemas"]} <= set(page.ids)


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(page: _Page) -> None:
    assert page.inline == []
    assert page.loads and all(one.startswith("/static/") for one in page.loads)


@pytest.mark.parametrize("path", ["/login", "/docs", "/shop"])
def test_every_page_leads_to_it(server: Served, path: str) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['read']}"}
    assert "/docs" in _Page(requests.get(f"{server.url}{path}", headers=headers, timeout=20).text).links


def test_it_names_nothing_that_is_here_and_says_who_is_signed_in(server: Served, page: _Page) -> None:
    assert "blog" not in page.text and "Sign in" in page.text
    headers = {"Authorization": f"Bearer {server.tokens['lock']}"}  # which reads nothing
    answer = requests.get(f"{server.url}/docs", headers=headers, timeout=20)
    assert answer.status_code == 200 and "Signed in as ana" in answer.text


@pytest.mark.parametrize("place", range(len(ROUTES)), ids=[one.anchor for one in OPERATIONS])
def test_an_example_can_be_pasted_into_a_shell(server: Served, place: int, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    one = [each for group in docs.groups(DOCUMENT, server.url) for each in group.operations][place]
    (tmp_path / "chunk").write_bytes(b"one\n")
    tokens = {"KEDGE_TOKEN": server.tokens["all"], "KEDGE_RUNNER_TOKEN": server.tokens["runner"], "LEASE": server.lease}
    command = f"{one.curl} -s -o answer -w '%{{http_code}}' --noproxy '*'"
    env = {"PATH": "/usr/bin:/bin:/usr/local/bin", **{name: value or "" for name, value in tokens.items()}}
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30)
    status = done.stdout
    assert status in one.responses, (command, done.stderr)
    assert int(status) < 300 or int(status) in NOT_THERE, (tmp_path / "answer").read_text()
