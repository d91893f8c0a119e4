"""Who is asking, and what their token lets them do."""

from dataclasses import dataclass

SCOPES = ("read", "deploy", "lock", "admin", "runner")


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks. ``scopes`` are what the token may be used for; ``apps`` and ``environments`` narrow it
    further, None: every one. The scope ``admin`` passes ``allow`` and includes the others but ``runner``."""

    name: str
    scopes: frozenset[str]
    apps: tuple[str, ...] | None = None
    environments: tuple[str, ...] | None = None

    @property
    def signed_in(self) -> bool:
        return bool(self.name)

    @property
    def admin(self) -> bool:
        return "admin" in self.scopes and self.apps is None and self.environments is None

    def has(self, scope: str, app: str | None = None, environment: str | None = None) -> bool:
        """May the token be used for this, there? Without an app it is asked about everything."""
        if scope not in self.scopes and not ("admin" in self.scopes and scope != "runner"):
            return False
        if self.apps is not None and (app is None or app not in self.apps):
            return False
        return self.environments is None or environment is None or environment in self.environments


ADMIN = Actor("admin", frozenset(SCOPES) - {"runner"})
NOBODY = Actor("", frozenset())
