"""The interface of a channel: where Kedge speaks of deploys and locks beside the providers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ghapp.core.config import EnvironmentConfig
from ghapp.core.values import Lock
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.messages import Message

if TYPE_CHECKING:
    from ghapp.service.context import Context


@dataclass(frozen=True, slots=True)
class LockChange:
    """What happened to a lock: ``kind`` is one of the events ``locked``, ``lock_changed``, ``lock_taken_over``,
    ``lock_expiring``, ``lock_expired`` and ``unlocked``. ``who`` did it (None: time), ``before`` is whose it was."""

    kind: str
    lock: Lock
    who: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One thing was said. ``body`` is what the channel keeps of its message; ``again_at`` (ms): when there is more to
    say of it, if nothing else happens; None: nothing."""

    body: str
    again_at: int | None = None


def under(ctx: "Context", lock: Lock) -> list[EnvironmentConfig]:
    """The environments that a lock on one, on an app or on everything holds up."""
    configs = ctx.apps.configs.values() if lock.app is None else filter(None, [ctx.apps.configs.get(lock.app)])
    return [one for config in configs for one in config.environments if lock.environment in {None, one.name}]


class Channel(Protocol):
    """A room of a chat, an address, a service that is told.

    The first two run in the transaction that changes something, which holds the environment; they decide who is owed
    what (`store.messages.put`) and call nobody. A message whose text is made when it is said needs nothing in its body:
    so what is said is true then, and many changes in quick succession are one message. `say` is called until it
    succeeds, once at a time for each target, in the order in which they became due.
    """

    @property
    def one_service(self) -> bool:
        """Are all targets one service, so that a rate limit of one is a limit of all?"""
        ...

    @property
    def in_order(self) -> bool:
        """Does a message about no deploy wait for an earlier one that is still owed to the same target?"""
        ...

    async def deploy_changed(self, tx: Tx, ctx: "Context", deploy: Deploy) -> None:
        """A deploy stands otherwise than before."""
        ...

    async def lock_changed(self, tx: Tx, ctx: "Context", change: LockChange) -> None: ...

    async def say(self, ctx: "Context", message: Message) -> Said:
        """Say the next thing of a message: at most one effect, so that one answer at most can be lost. Where an earlier
        one was (``message.unsure``), look first whether it is there. Raises RemoteError (see `attempts.judge`)."""
        ...
