"""What Kedge asks of a VCS host that keeps a record of what it sent: to read back what never arrived."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ghapp.core.values import Repository


class Use(StrEnum):
    """What a delivery can be to Kedge, by its event and action alone: work, whose payload has to be read; news of
    checks; or nothing."""

    WORK = "work"
    CHECKS = "checks"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery in the provider's own record of what it sent. ``guid`` is the same each time it was sent again;
    ``at``: when, in ms by our clock; ``repository_id``: the provider's, None where it concerns no repository."""

    id: int
    guid: str
    at: int
    event: str
    use: Use
    repository_id: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """What was sent, newest first. ``whole``: nothing of the time asked for is missing; the oldest may be, else."""

    sent: Sequence[Sent]
    whole: bool


@dataclass(frozen=True, slots=True)
class Recovered:
    """A delivery as it would have come in."""

    guid: str
    event: str
    body: bytes = field(repr=False)


class DeliveryLog(Protocol):
    """A provider's own record of what it sent. Every method raises `RemoteError`."""

    async def since(self, at: int) -> Record:
        """What was sent from ``at`` (ms) on, or as much of it as the provider has kept; perhaps older ones too."""
        ...

    async def recover(self, sent: Sent) -> Recovered: ...

    async def deployments(self, repository: Repository, since: int) -> list[Recovered]:
        """Deployments created from ``since`` (ms) on that nobody has ended yet, oldest first, as deliveries."""
        ...
