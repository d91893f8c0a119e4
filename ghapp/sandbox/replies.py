"""What a request becomes: the call a handler gets, the reply it gives, and GitHub's way to say no."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from .render import Links
from .state import Json, Repository

if TYPE_CHECKING:
    from .actors import Actor
    from .world import World

DOCUMENTATION = "https://docs.github.com/rest"
Item = TypeVar("Item")


class Refused(Exception):
    """An error in GitHub's shape (https://docs.github.com/en/rest/using-the-rest-api/
    troubleshooting-the-rest-api)."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Any] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}
        if errors:
            self.body["errors"] = list(errors)
        self.headers = dict(headers or {})


def invalid(resource: str, name: str, message: str, code: str = "custom") -> Refused:
    """One field that is not acceptable: 422."""
    error = {"resource": resource, "code": code, "field": name, "message": message}
    return Refused(422, "Validation Failed", errors=[error])


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it came in; `path` is below /api/v3. `status` is 0 while it is not answered, and
    stays so when the connection was broken on purpose."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: Any = None
    at: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` as JSON; bytes are sent as they are; None is an empty answer."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose caller is known and, below /repos, may do what it asks.

    `address` is the whole URL without its query; `stale` how many changes a listing is behind.
    """

    world: "World"
    actor: "Actor"
    links: Links
    address: str
    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    accept: str = ""
    stale: int = 0
    _repository: Repository | None = None

    @property
    def repository(self) -> Repository:
        if self._repository is None:
            raise Refused(404, "Not Found")
        return self._repository

    def resolve(self, ref: str) -> str:
        """The commit that a ref in the path names. Raises Refused(422) as GitHub does."""
        sha = self.world.git.resolve(self.repository.full_name, ref)
        if sha is None:
            raise Refused(422, f"No commit found for SHA: {ref}")
        return sha

    def sha(self, value: str) -> str:
        """A commit that must be named by its whole sha. Raises Refused(422)."""
        if not re.fullmatch(r"[0-9a-f]{40}", value):
            raise Refused(422, f"No commit found for SHA: {value}")
        return self.resolve(value)

    def text(self, name: str, default: str = "") -> str:
        """A string of the body. Raises Refused(422) for another type."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, str):
            raise Refused(422, f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not a string.")
        return default if value is None else value

    def needed(self, name: str) -> str:
        """A string that the body must have. Raises Refused(422)."""
        value = self.text(name)
        if not value:
            raise Refused(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            raise Refused(422, f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not a boolean.")
        return value


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """`needs` is who may: "jwt", "anyone", "token", "installation", or a repository permission
    "name:level", checked before the handler is called."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    needs: str


def route(method: str, template: str, handler: Handler, needs: str) -> Route:
    """`{name}` stands for one part of a path, `{name+}` for several."""
    parts = re.split(r"\{(\w+\+?)\}", template)
    texts, names = parts[::2], [*parts[1::2], ""]
    groups = (f"(?P<{name.rstrip('+')}>{'.+' if name.endswith('+') else '[^/]+'})" if name else "" for name in names)
    pattern = "".join(re.escape(text) + group for text, group in zip(texts, groups, strict=True))
    return Route(method, re.compile(pattern), handler, needs)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, "")
    return int(value) if value.isdigit() and int(value) > 0 else default


def paged(call: Call, items: Sequence[Item]) -> tuple[list[Item], dict[str, str]]:
    """The page asked for and its Link header (https://docs.github.com/en/rest/using-the-rest-api/
    using-pagination-in-the-rest-api): 30 a page, at most 100."""
    size, page = min(_number(call.query, "per_page", 30), 100), _number(call.query, "page", 1)
    last = max(1, -(-len(items) // size))
    targets = {"first": 1, "prev": page - 1} if page > 1 else {}
    targets |= {"next": page + 1, "last": last} if page < last else {}
    links = [f'<{call.address}?{urlencode({**call.query, "page": to})}>; rel="{rel}"' for rel, to in targets.items()]
    return list(items[(page - 1) * size : page * size]), ({"Link": ", ".join(links)} if links else {})
