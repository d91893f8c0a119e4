"""A provider for tests that is its repositories too: whatever of `Provider` and of its abilities a test needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ghapp.core.checks import Check
from ghapp.core.values import Repository
from ghapp.vcs.provider import Checks, Provider


class WholeProvider(Provider):
    """What is not there is not asked for."""

    title = "GitHub"

    def __init__(self) -> None:
        """Nothing to open."""

    async def find_repository(self, name: str) -> list[Repository]:
        return []

    async def login(self) -> str | None:
        return "kedge[bot]"

    def code(self, repository: Repository) -> Any:
        return self

    def deployments(self, repository: Repository) -> Any:
        return self

    def people(self, repository: Repository) -> Any:
        return self

    def checks(self, repository: Repository) -> Checks:
        return _ChecksOf(self)

    async def checks_of(self, sha: str) -> Sequence[Check]:
        return []


@dataclass(frozen=True, slots=True)
class _ChecksOf:
    provider: WholeProvider

    async def checks(self, sha: str) -> Sequence[Check]:
        return await self.provider.checks_of(sha)
