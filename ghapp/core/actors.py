"""Who is asking, and what their token lets them do."""

from dataclasses import dataclass

SCOPES = ("read", "deploy", "lock", "admin", "runner")


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks. ``scopes`` are what the token may be used for; ``apps`` and ``environments`` narrow it
    further, None: every one. The scope ``admin`` includes the others but ``runner``, and passes ``allow`` where it
    is not narrowed. ``token`` is the id of a token that was created, None for the operator's own.

    ``provider`` is where somebody signed in, in place of a token: then ``apps`` are those whose repositories they can
    read there, as far as that could be asked (``unasked``: not of all), and what they may do is asked there too."""

    name: str
    scopes: frozenset[str]
    apps: tuple[str, ...] | None = None
    environments: tuple[str, ...] | None = None
    token: int | None = None
    provider: str | None = None
    unasked: bool = False

    @property
    def signed_in(self) -> bool:
        return bool(self.name)

    @property
    def narrowed(self) -> bool:
        return self.apps is not None or self.environments is not None

    @property
    def admin(self) -> bool:
        return "admin" in self.scopes and not self.narrowed

    def can(self, scope: str) -> bool:
        """Has the token the scope, wherever that is?"""
        return scope in self.scopes or ("admin" in self.scopes and scope != "runner")

    def covers(self, app: str | None = None, environment: str | None = None) -> bool:
        """Is the token for all of this? Without an app it is asked about everything, without an environment about
        all of the app."""
        if self.apps is not None and app not in self.apps:
            return False
        return self.environments is None or environment in self.environments

    def has(self, scope: str, app: str | None = None, environment: str | None = None) -> bool:
        """May the token be used for this, there?"""
        return self.can(scope) and self.covers(app, environment)

    def sees(self, app: str, environment: str | None = None) -> bool:
        """May they read of it? Without an environment: anything of the app."""
        in_app = self.apps is None or app in self.apps
        return self.can("read") and (in_app if environment is None else self.covers(app, environment))

    @property
    def sees_anything(self) -> bool:
        """May they read what concerns everything? Whoever can read no app is a stranger."""
        return self.can("read") and self.apps != ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a runner's token lets it take, however much more the runner wishes. None: whatever it wishes."""

    labels: tuple[str, ...] | None = None
    apps: tuple[str, ...] | None = None
    environments: tuple[str, ...] | None = None

    def labels_of(self, wished: tuple[str, ...]) -> tuple[str, ...]:
        """The labels that count: those of the token, or the fewer of them that the runner names itself."""
        if self.labels is None:
            return wished
        return tuple(label for label in self.labels if label in wished or not wished)


#: What KEDGE_RUNNER_TOKEN grants.
ANYTHING = Grant()

#: What somebody who signed in at a provider may be allowed, there where they are.
PERSON_SCOPES = frozenset({"read", "deploy", "lock"})

ADMIN = Actor("admin", frozenset(SCOPES) - {"runner"})
NOBODY = Actor("", frozenset())
#: Who reads where everybody may (KEDGE_ANONYMOUS_READ).
EVERYBODY = Actor("", frozenset({"read"}))
