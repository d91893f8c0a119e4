"""As much of a browser as set-up's pages and GitHub's need: cookies by host and path, forms, links, redirections."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import aiohttp
from yarl import URL


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(values.get("action", ""), values.get("method", "get")))
        elif tag == "input" and self.forms and values.get("name") and values.get("type") not in {"checkbox", "radio"}:
            self.forms[-1].fields[values["name"]] = values.get("value", "")
        elif tag == "a":
            self.links.append(values.get("href", ""))

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    url: str
    html: str
    headers: dict[str, str]

    @property
    def _parsed(self) -> _Parser:
        parser = _Parser()
        parser.feed(self.html)
        return parser

    @property
    def text(self) -> str:
        return " ".join(self._parsed.text.split())

    @property
    def forms(self) -> list[Form]:
        return self._parsed.forms

    def link(self, end: str) -> str:
        return next(link for link in self._parsed.links if link.endswith(end))


@dataclass
class Browser:
    """Cookies are kept as a browser keeps them; ``visited`` is every address that was asked for."""

    session: aiohttp.ClientSession
    page: Page | None = None
    visited: list[str] = field(default_factory=list)

    async def open(self, url: str) -> Page:
        return await self._go("GET", url, None)

    async def send(self, fields: Mapping[str, str] | None = None, *, form: int = 0) -> Page:
        """Fill in a form of the page and send it."""
        assert self.page
        chosen = self.page.forms[form]
        url = urljoin(self.page.url, chosen.action or self.page.url)
        return await self._go(chosen.method.upper(), url, {**chosen.fields, **(fields or {})})

    async def _go(self, method: str, url: str, data: dict[str, str] | None) -> Page:
        came_from = URL(self.page.url).origin() if self.page else None
        for _ in range(10):
            self.visited.append(url)
            headers = {"Origin": str(came_from)} if method == "POST" and came_from else {}
            target = URL(url, encoded=True)
            async with self.session.request(
                method, target, data=data, headers=headers, allow_redirects=False
            ) as answer:
                location = answer.headers.get("Location")
                if location and answer.status in {302, 303}:
                    method, url, data = "GET", urljoin(url, location), None
                    continue
                self.page = Page(answer.status, url, await answer.text(), dict(answer.headers))
                return self.page
        raise AssertionError("one redirection after another")
