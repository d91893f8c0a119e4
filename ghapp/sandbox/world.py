"""The sandbox's world: what it remembers, its repositories and its webhooks, and who hears of what."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import render
from .git import Git
from .hooks import Hooks
from .render import Links
from .state import Account, App, Installation, Json, Repository, State, allows
from .talk import Talk

# The permission an App needs to hear an event
# (https://docs.github.com/en/webhooks/webhook-events-and-payloads).
HEARD_WITH = {
    "deployment": "deployments",
    "deployment_status": "deployments",
    "status": "statuses",
    "check_run": "checks",
    "check_suite": "checks",
    "push": "contents",
    "issue_comment": "issues",
    "pull_request": "pull_requests",
}


class Unknown(LookupError):
    """Something was named that the sandbox does not have; the message says what."""


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class World:
    git: Git
    state: State
    hooks: Hooks
    clock: Callable[[], int]
    talk: Talk = field(default_factory=Talk)
    url: str = "http://127.0.0.1"
    browser: str = "olga"  # who is signed in on the pages
    public_internet: bool = False  # as github.com, which calls no private address
    token_lifetime_s: float = 3600.0
    rate_limit: int = 5000
    used: dict[str, tuple[int, int]] = field(default_factory=dict)  # who → (requests, end of the hour)

    @classmethod
    def below(cls, folder: Path, clock: Callable[[], int] = now) -> "World":
        state = State()
        return cls(Git(folder / "git"), state, Hooks(state, clock), clock)

    @property
    def links(self) -> Links:
        """The addresses that stand in webhooks."""
        return Links(self.url, f"{self.url}/api/v3")

    def repository(self, full_name: str) -> Repository:
        """Raises Unknown."""
        found = self.state.repository(full_name)
        if found is None:
            known = ", ".join(r.full_name for r in self.state.repositories.values()) or "none"
            raise Unknown(f"no repository {full_name!r}; there are: {known}")
        return found

    def app(self, app_id: int) -> App:
        """Raises Unknown."""
        if app_id not in self.state.apps:
            raise Unknown(f"no app {app_id}")
        return self.state.apps[app_id]

    def resolve(self, repo: Repository, ref: str) -> str:
        """The commit a ref names. Raises Unknown."""
        sha = self.git.resolve(repo.full_name, ref)
        if sha is None:
            raise Unknown(f"no commit {ref!r} in {repo.full_name}")
        return sha

    def listeners(self, repo: Repository, event: str) -> list[tuple[App, Installation]]:
        """The Apps that hear an event of this repository."""
        pairs = ((app, self.state.installation_of(app, repo)) for app in self.state.apps.values())
        wanted = HEARD_WITH[event]
        return [
            (app, at) for app, at in pairs if at and event in app.events and allows(at.permissions.get(wanted), "read")
        ]

    def emit(self, event: str, repo: Repository, body: Json, sender: Account) -> None:
        """Send an event of a repository to every App that hears it."""
        for app, installation in self.listeners(repo, event):
            self.tell(app, installation, event, repo, body, sender)

    def tell(self, app: App, at: Installation, event: str, repo: Repository, body: Json, sender: Account) -> None:
        """Send an event of a repository to one App."""
        links = self.links
        payload = {
            **body,
            "repository": render.repository(links, repo),
            "sender": render.account(links, sender),
            "installation": {"id": at.id, "node_id": f"MDIz{at.id}"},
        }
        if repo.owner.type == "Organization":
            payload["organization"] = render.organization(links, repo.owner)
        self.hooks.enqueue(app, event, payload)
