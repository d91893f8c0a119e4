"""What Sentry is told of a deploy: a release with its commits, and that it was deployed. Pure.

https://docs.sentry.io/api/releases/create-a-new-release-for-an-organization/
"""

from collections.abc import Sequence
from typing import Any

from ghapp.core.config import SentryTarget
from ghapp.core.times import rfc3339
from ghapp.core.values import Commit

#: So many commits are told; of more the newest.
COMMITS = 100
#: Characters: https://docs.sentry.io/api/releases/create-a-deploy/
_LONGEST_NAME = 64


def release(
    target: SentryTarget, sha: str, repository: str, commits: Sequence[Commit], released_at: int
) -> dict[str, Any]:
    """A release is called by its sha, as Sentry's own clients call it."""
    return {
        "version": sha,
        "projects": list(target.projects),
        "dateReleased": rfc3339(released_at),
        "commits": [_commit(one, repository) for one in reversed(commits[-COMMITS:])],
    }


def _commit(one: Commit, repository: str) -> dict[str, Any]:
    told = {"id": one.sha, "repository": repository, "message": one.message, "author_name": one.author[:128]}
    return told | ({"timestamp": rfc3339(one.committed_at)} if one.committed_at else {})


def deploy_name(app: str, number: int) -> str:
    """Tells a deploy from all others of its release."""
    end = f"#{number}"
    return app[: _LONGEST_NAME - len(end)] + end


def deploy(
    target: SentryTarget, environment: str, name: str, page: str, started_at: int | None, ended_at: int
) -> dict[str, Any]:
    return {
        "environment": target.environment or environment,
        "name": name,
        "url": page,
        "dateStarted": rfc3339(started_at if started_at is not None else ended_at),
        "dateFinished": rfc3339(ended_at),
        "projects": list(target.projects),
    }
