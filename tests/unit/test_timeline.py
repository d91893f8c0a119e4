"""What happened to a deploy, in words."""

import re
from pathlib import Path

import pytest

from ghapp.core.timeline import told
from ghapp.core.values import State

SERVICE = Path(__file__).parents[2] / "ghapp" / "service"


@pytest.mark.parametrize(
    ("kind", "who", "data", "sentence"),
    [
        ("asked", "alice", {"door": "github"}, "alice asked for it as a GitHub deployment."),
        ("asked", "alice", {"door": "telegraph"}, "alice asked for it by way of telegraph."),
        ("claimed", "r1", {}, "Runner r1 took it, to ask the checks and to prepare."),
        ("held", "r1", {"blockers": []}, "Back in line."),
        ("held", "r1", {"blockers": [{"message": "One."}, {"message": "Two."}]}, "Back in line. One. Two."),
        ("held", "r1", {"blockers": "nonsense"}, "Back in line."),
        ("forced", "bob", {"what": ["checks", "lock"]}, "bob forced it past the checks and the lock."),
        ("forced", "bob", {"what": ["all"]}, "bob forced it past everything that can be forced."),
        ("rejected", None, {"reason": "Check ci failed."}, "Rejected: Check ci failed."),
        ("succeeded", "r1", {"reason": ""}, "Succeeded."),
        ("status_refused", None, {"why": "It answered 422."}, "The provider did not take the status: It answered 422."),
        ("new_kind", "x", {}, "new kind by x."),
        ("new_kind", None, {}, "new kind."),
    ],
)
def test_told(kind: str, who: str | None, data: dict[str, object], sentence: str) -> None:
    assert told(kind, who, data) == sentence


def test_every_kind_that_is_recorded_of_a_deploy_has_a_sentence_of_its_own() -> None:
    source = "\n".join(path.read_text() for path in SERVICE.glob("*.py"))
    recorded = re.findall(r'events\.record\(\s*tx,\s*[\w.()]+,\s*"(\w+)",[^)]*?deploy=', source)
    assert {"asked", "claimed", "lost"} <= set(recorded)
    for kind in [*recorded, *(state.value for state in State if state.terminal)]:
        assert told(kind, "somebody", {}) != f"{kind.replace('_', ' ')} by somebody."
