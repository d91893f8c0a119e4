"""What must be true after chaos. Pure: facts in, sentences about what is wrong out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

SHOWN = {"succeeded": "success", "failed": "failure"}
LAST = {"success", "failure", "error"}
BACK = {"held", "lease_expired"}
OVER = {"succeeded", "failed", "errored", "cancelled", "rejected"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One deploy as it ended. ``order`` is its place in the line by (asked_at, deployment id); ``executed`` counts
    how often its command ran; ``shown`` are the states at GitHub, oldest first.

    ``never_began``: its runner was killed after it had been told to start it and before the command was executed.
    What may have begun is never begun again (protocol rule 13): such a deploy must end as errored, executed by nobody.
    """

    id: int
    name: str
    number: int
    state: str
    environment_id: int
    order: tuple[int, int]
    deployment_id: int
    executed: int
    never_began: bool
    shown: tuple[str, ...]
    log: str


def verdict(deploys: Sequence[Ended], asked: set[int], events: Iterable[tuple[int, str]]) -> list[str]:
    """Everything that is wrong, as sentences. ``events`` are (deploy id, kind) in the order they were recorded."""
    return [
        *_complete(deploys, asked),
        *(line for deploy in deploys for line in _of_one(deploy)),
        *_order(deploys, events),
    ]


def _complete(deploys: Sequence[Ended], asked: set[int]) -> Iterator[str]:
    made = [deploy.deployment_id for deploy in deploys]
    if len(made) != len(set(made)):
        yield f"{len(made) - len(set(made))} deployments became more than one deploy"
    if missing := asked - set(made):
        yield f"{len(missing)} deployments became no deploy, such as {min(missing)}"
    if more := set(made) - asked:
        yield f"{len(more)} deploys were never asked for"


def _of_one(deploy: Ended) -> Iterator[str]:
    expected = "errored" if deploy.never_began else "failed" if deploy.number % 7 == 0 else "succeeded"
    if deploy.state != expected:
        yield f"{deploy.name} has {deploy.state}, not {expected}"
    if deploy.executed != (0 if deploy.never_began else 1):
        yield f"{deploy.name} was executed {deploy.executed} times"
    final = [state for state in deploy.shown if state in LAST]
    told = [state for state in deploy.shown if state != "inactive"]
    if final != [SHOWN.get(deploy.state, "error")] or told[-1:] != final:
        yield f"{deploy.name} has {deploy.state}; GitHub was told {' → '.join(deploy.shown)}"
    count = deploy.number * 37 % 200 + 20
    lines = [f"{deploy.name} line {number} of {count}" for number in range(1, count + 1)]
    said = [line for line in deploy.log.splitlines() if not line.startswith("[kedge] ")]
    if said != ([] if deploy.never_began else lines):
        yield f"{deploy.name} has a log of {len(said)} lines, not {len(lines)}"


def _order(deploys: Sequence[Ended], events: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Play the events again: whoever is claimed must be the first of those that wait in its environment."""
    known = {deploy.id: deploy for deploy in deploys}
    waiting: dict[int, set[int]] = {}
    busy: dict[int, int] = {}
    for deploy_id, kind in events:
        one = known[deploy_id]
        line = waiting.setdefault(one.environment_id, set())
        if kind == "asked" or kind in BACK:
            line.add(deploy_id)
            busy.pop(one.environment_id, None) if kind in BACK else None
        elif kind == "claimed":
            first = min(line, key=lambda waits: known[waits].order)
            if first != deploy_id:
                yield f"{one.name} was claimed before {known[first].name}, which is older and waited"
            if one.environment_id in busy:
                yield f"{one.name} was claimed while {known[busy[one.environment_id]].name} held the environment"
            line.discard(deploy_id)
            busy[one.environment_id] = deploy_id
        elif kind in OVER:
            line.discard(deploy_id)
            busy.pop(one.environment_id, None)
