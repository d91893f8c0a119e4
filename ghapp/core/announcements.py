"""What is told to other services: kinds of events, which may be chosen by patterns."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from ghapp.core.values import State

#: What a deploy is when it comes to a state.
DEPLOY: Mapping[State, str] = {state: f"deploy.{state.value}" for state in State}
#: What happened to a lock, by the kind of the event that is recorded of it.
LOCK: Mapping[str, str] = {
    "locked": "lock.set",
    "lock_changed": "lock.changed",
    "lock_taken_over": "lock.taken_over",
    "lock_expiring": "lock.expiring",
    "lock_expired": "lock.expired",
    "unlocked": "lock.released",
}
KINDS = (*DEPLOY.values(), *LOCK.values())


def wanted(kind: str, patterns: Sequence[str]) -> bool:
    """No pattern at all wants everything."""
    return not patterns or any(fnmatchcase(kind, pattern) for pattern in patterns)


def useless(pattern: str) -> bool:
    """Does it match no kind that there is?"""
    return not any(fnmatchcase(kind, pattern) for kind in KINDS)
