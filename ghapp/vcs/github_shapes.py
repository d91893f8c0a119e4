"""What Kedge reads of GitHub's objects, in answers and deliveries alike, and the checks they stand for. Pure.

Only what is needed is declared; what GitHub leaves out in older versions has a default.
"""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from ghapp.core.checks import Check, CheckState
from ghapp.core.values import Repository

#: What fits a database's 64-bit integer.
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: RFC 3339, or seconds since the epoch in the oldest deliveries.
Instant = datetime | Annotated[int, Meta(ge=0, le=2**40)]
Moment = Instant | None

#: Conclusions that count as passed; every other one, known or not, does not.
#: https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference
PASSED = frozenset({"success", "neutral", "skipped"})


class StatusShape(msgspec.Struct, kw_only=True):
    """https://docs.github.com/en/rest/commits/statuses"""

    id: Id = 0
    state: str
    context: str = "default"
    description: str | None = None
    target_url: str | None = None
    created_at: Moment = None
    updated_at: Moment = None


class AppShape(msgspec.Struct, kw_only=True):
    id: Id
    name: str | None = None
    slug: str | None = None


class OutputShape(msgspec.Struct, kw_only=True):
    title: str | None = None


class RunShape(msgspec.Struct, kw_only=True):
    """https://docs.github.com/en/rest/checks/runs"""

    id: Id = 0
    name: str
    status: str | None = None
    conclusion: str | None = None
    html_url: str | None = None
    started_at: Moment = None
    completed_at: Moment = None
    app: AppShape | None = None
    output: OutputShape | None = None


class SuiteShape(msgspec.Struct, kw_only=True):
    """https://docs.github.com/en/rest/checks/suites"""

    id: Id
    status: str | None = None
    latest_check_runs_count: int = 0
    created_at: Moment = None
    updated_at: Moment = None
    app: AppShape | None = None


class RepositoryShape(msgspec.Struct, kw_only=True):
    """https://docs.github.com/en/rest/repos/repos"""

    id: Id
    full_name: str
    clone_url: str | None = None
    html_url: str | None = None
    default_branch: str | None = None
    private: bool = False


def moment(value: Moment) -> int:
    """Milliseconds since the epoch; 0 where GitHub gave no time."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value * 1000
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def repository_of(shape: RepositoryShape) -> Repository:
    """Old deliveries lack the clone URL; it is the page's with ``.git``."""
    derived = f"{shape.html_url}.git" if shape.html_url else ""
    return Repository(
        id=shape.id,
        full_name=shape.full_name,
        clone_url=shape.clone_url or derived,
        default_branch=shape.default_branch,
        private=shape.private,
    )


def request_of(payload: object) -> str | None:
    """The request that a deployment made by Kedge carries, from its payload (an object, or JSON text)."""
    if isinstance(payload, str):
        try:
            payload = msgspec.json.decode(payload)
        except msgspec.DecodeError:
            return None
    kedge = payload.get("kedge") if isinstance(payload, dict) else None
    request = kedge.get("request") if isinstance(kedge, dict) else None
    return request if isinstance(request, str) else None


def check_of_status(status: StatusShape) -> Check:
    """A commit status; ``error`` is a failure, and so is a state that GitHub has yet to invent."""
    known = {"success": CheckState.SUCCESS, "pending": CheckState.PENDING}
    return Check(
        key=f"status/{status.context}",
        name=status.context,
        state=known.get(status.state, CheckState.FAILURE),
        at=moment(status.updated_at or status.created_at),
        serial=status.id,
        url=web_url(status.target_url),
        detail=status.description or "",
    )


def check_of_run(run: RunShape) -> Check:
    """A check run; runs of one name by two Apps are two checks."""
    return Check(
        key=f"run/{run.app.id if run.app else 0}/{run.name}",
        name=run.name,
        state=_run_state(run),
        at=moment(run.completed_at or run.started_at),
        serial=run.id,
        url=web_url(run.html_url),
        detail=(run.output and run.output.title) or run.conclusion or run.status or "",
    )


def _run_state(run: RunShape) -> CheckState:
    if run.status != "completed":
        return CheckState.PENDING
    return CheckState.SUCCESS if run.conclusion in PASSED else CheckState.FAILURE


def check_of_suite(suite: SuiteShape) -> Check | None:
    """A suite that has runs and is not through, so that more runs may follow; None for any other.

    The key begins with the App's id, so that the suites of one App can be told from all others.
    """
    if suite.status == "completed" or suite.latest_check_runs_count < 1:
        return None
    app = suite.app
    return Check(
        key=f"suite/{app.id if app else 0}/{suite.id}",
        name=(app and (app.name or app.slug)) or "check suite",
        state=CheckState.PENDING,
        at=moment(suite.updated_at or suite.created_at),
        serial=suite.id,
        detail=suite.status or "",
    )


def web_url(url: str | None) -> str | None:
    """The URL if it may stand in a page: anyone who may write a status chooses it."""
    return url if url and url.lower().startswith(("https://", "http://")) else None
