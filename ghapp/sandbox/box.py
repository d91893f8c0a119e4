"""What tests and people may do to the sandbox, without HTTP: accounts, code, checks, deployments."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import accounts, checks, code, deployments
from .accounts import KEDGE_EVENTS, KEDGE_PERMISSIONS, AppKeys
from .box_pulls import Conversations
from .faults import Faults
from .replies import Recorded
from .state import (
    Account,
    CheckRun,
    CheckSuite,
    CommitStatus,
    Deployment,
    DeploymentStatus,
    Installation,
    Json,
    Repository,
)
from .world import Unknown, World, now

SAMPLE = Path(__file__).with_name("sample")


class Box(Conversations):
    """Everything is remembered in memory, only the git repositories are on disk, below `folder`.

    `requests` holds what came in (not the control door's), `faults` and `hooks` spoil it on order.
    Methods that name something unknown raise `world.Unknown`.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], int] = now) -> None:
        self.folder = folder
        self.world = World.below(folder, clock)
        self.hooks = self.world.hooks
        self.faults = Faults()
        self.requests: list[Recorded] = []

    # people, Apps, tokens

    def add_user(self, login: str) -> Account:
        return accounts.add_person(self.world, login)

    def rename_user(self, login: str, to: str) -> Account:
        return accounts.rename(self.world, login, to)

    def add_organization(self, login: str, owners: Iterable[str] = ()) -> Account:
        return accounts.add_organization(self.world, login, owners)

    def add_team(self, organization: str, slug: str, members: Iterable[str]) -> None:
        accounts.add_team(self.world, organization, slug, members)

    def set_permission(self, repository: str, login: str, role: str) -> None:
        """`role` is none, read, triage, write, maintain or admin."""
        accounts.set_permission(self.world, self.world.repository(repository), login, role)

    def personal_token(self, login: str) -> str:
        return accounts.personal_token(self.world, login)

    def expire_tokens(self) -> None:
        """Let every installation token that was given out be over now."""
        at, tokens = self.world.clock(), self.world.state.tokens
        tokens.update({v: replace(t, expires_at=at) for v, t in tokens.items() if t.installation_id})

    def add_app(
        self,
        *,
        slug: str = "kedge",
        owner: str = "acme",
        permissions: Mapping[str, str] = KEDGE_PERMISSIONS,
        events: Iterable[str] = KEDGE_EVENTS,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        callback_urls: Iterable[str] = (),
    ) -> AppKeys:
        """A GitHub App, by default one as set-up makes it. A random secret is made where none is given.
        `callback_urls` are where people are sent back to from sign-in."""
        return accounts.add_app(
            self.world,
            slug=slug,
            owner=owner,
            permissions=permissions,
            events=events,
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            callback_urls=callback_urls,
        )

    def set_webhook(self, app_id: int, url: str | None) -> None:
        """Point an App's hook at another address, which is pinged."""
        accounts.set_webhook(self.world, app_id, url)

    def install(
        self, app_id: int, repositories: Iterable[str], permissions: Mapping[str, str] | None = None
    ) -> Installation:
        """Install on repositories of one account, or add them there; `permissions` if less is granted."""
        chosen = [self.world.repository(name) for name in repositories]
        return accounts.install(self.world, app_id, chosen, permissions)

    def uninstall(self, installation_id: int, repositories: Iterable[str]) -> None:
        chosen = [self.world.repository(name) for name in repositories]
        accounts.uninstall(self.world, installation_id, chosen)

    # code

    def add_repository(
        self,
        full_name: str,
        *,
        private: bool = False,
        branch: str = "main",
        from_folder: Path | None = None,
    ) -> Repository:
        """A repository with one commit: the files of a folder, by default the sample."""
        files = code.read_folder(from_folder or SAMPLE)
        return code.add_repository(self.world, full_name, private=private, branch=branch, files=files)

    def commit(
        self,
        repository: str,
        branch: str = "main",
        files: Mapping[str, str | bytes | None] | None = None,
        *,
        message: str = "Change something",
        by: str | None = None,
    ) -> str:
        """Commit to a branch, which is made if new, as if pushed; None removes a file. Returns the sha."""
        repo = self.world.repository(repository)
        return code.commit(self.world, repo, branch, files or {}, message=message, by=by)

    def set_ref(self, repository: str, ref: str, sha: str | None) -> None:
        """Move, make or (None) delete `refs/heads/…` or `refs/tags/…`, as if pushed."""
        code.set_ref(self.world, self.world.repository(repository), ref, sha)

    def sha(self, repository: str, ref: str = "main") -> str:
        return self.world.resolve(self.world.repository(repository), ref)

    # checks

    def set_status(
        self,
        repository: str,
        ref: str,
        context: str,
        state: str,
        *,
        description: str | None = None,
        target_url: str | None = None,
        by: str = "ci-bot",
    ) -> CommitStatus:
        """`state` is error, failure, pending or success."""
        repo = self.world.repository(repository)
        return checks.set_status(
            self.world,
            repo,
            self.world.resolve(repo, ref),
            context=context,
            state=state,
            description=description,
            target_url=target_url,
            creator=accounts.add_person(self.world, by),
        )

    def set_check_run(self, repository: str, ref: str, name: str, state: str, *, app: str = "ci-service") -> CheckRun:
        """`state` is a status (queued, in_progress …) or a conclusion (success, failure, skipped …)."""
        repo = self.world.repository(repository)
        return checks.set_run(self.world, repo, self.world.resolve(repo, ref), name, state, app)

    def add_check_suite(self, repository: str, ref: str, *, app: str = "ci-service") -> CheckSuite:
        """A suite that has no runs yet."""
        repo = self.world.repository(repository)
        service = accounts.add_service(self.world, app)
        return checks.add_suite(self.world, repo, self.world.resolve(repo, ref), service)

    # deployments

    def create_deployment(
        self,
        repository: str,
        *,
        ref: str = "main",
        by: str = "ana",
        environment: str = "production",
        task: str = "deploy",
        payload: Json | str | None = None,
        description: str | None = None,
        required_contexts: Sequence[str] | None = (),
    ) -> Deployment:
        """Deploy as a user or bot, who is made if new and not asked for permission. Raises Conflict."""
        repo = self.world.repository(repository)
        asked = deployments.Request(
            ref=ref,
            sha=self.world.resolve(repo, ref),
            task=task,
            environment=environment,
            description=description,
            payload={} if payload is None else payload,
            required_contexts=required_contexts,
        )
        creator = accounts.add_person(self.world, by)
        return deployments.create(self.world, repo, asked, creator, None)

    def add_deployment_status(
        self, deployment_id: int, state: str, *, description: str = "", by: str = "ana"
    ) -> DeploymentStatus:
        deployment = self.deployment(deployment_id)
        repo = self.world.state.repositories[deployment.repository_id]
        asked = deployments.StatusRequest(state, description)
        creator = accounts.add_person(self.world, by)
        return deployments.add_status(self.world, repo, deployment, asked, creator, None)

    def deployment(self, deployment_id: int) -> Deployment:
        found = self.world.state.deployments.get(deployment_id)
        if found is None:
            raise Unknown(f"no deployment {deployment_id}")
        return found

    def deployments(self, repository: str) -> list[Deployment]:
        """Oldest first."""
        return self.world.state.deployments_of(self.world.repository(repository))

    def statuses(self, deployment_id: int) -> tuple[DeploymentStatus, ...]:
        """Oldest first."""
        return self.deployment(deployment_id).statuses
