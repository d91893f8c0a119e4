"""GitHub's deliveries -> what happened: documented shapes, old and sparse ones, and nonsense."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core.checks import CheckState
from ghapp.vcs.events import CheckEvent, DeploymentEvent, InstallationEvent, PushEvent
from ghapp.vcs.github_events import UnusableDelivery, parse
from ghapp.vcs.github_shapes import RunShape, StatusShape, check_of_run, check_of_status

DATA = Path(__file__).parent.parent / "data" / "github"
SHA = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"
EVENTS = {
    "deployment": "deployment",
    "deployment_2015": "deployment",
    "deployment_by_actions": "deployment",
    "deployment_hubot": "deployment",
    "deployment_status": "deployment_status",
    "status": "status",
    "status_sparse": "status",
    "check_run_completed": "check_run",
    "check_run_created": "check_run",
    "check_run_without_app": "check_run",
    "check_suite_completed": "check_suite",
    "installation_created": "installation",
    "installation_deleted": "installation",
    "installation_suspend": "installation",
    "installation_repositories": "installation_repositories",
    "ping": "ping",
    "push": "push",
    "push_deleted": "push",
}


def body(name: str) -> bytes:
    return (DATA / f"{name}.json").read_bytes()


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(body(name))
    return loaded


def deployment(name: str = "deployment", **changed: object) -> DeploymentEvent:
    delivery = load(name)
    delivery["deployment"].update(changed)
    event = parse("deployment", delivery)
    assert isinstance(event, DeploymentEvent)
    return event


def check(name: str, event_name: str) -> CheckEvent:
    event = parse(event_name, body(name))
    assert isinstance(event, CheckEvent)
    return event


def test_every_recorded_delivery_is_tried() -> None:
    assert {path.stem for path in DATA.glob("*.json")} == set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_bytes_and_object_are_read_alike(name: str) -> None:
    assert parse(EVENTS[name], body(name)) == parse(EVENTS[name], load(name))


def test_a_deployment() -> None:
    event = deployment()
    assert event.repository.id == 186853002
    assert event.repository.full_name == "Codertocat/Hello-World"
    assert event.repository.clone_url == "https://github.com/Codertocat/Hello-World.git"
    assert event.repository.default_branch == "main"
    assert (event.installation_id, event.deployment_id) == (375706, 145988746)
    assert (event.sha, event.ref, event.task, event.environment) == (SHA, "main", "deploy", "production")
    assert (event.creator, event.creator_is_person) == ("Codertocat", True)
    assert event.created_at == 1557933653000  # 2019-05-15T15:20:53Z
    assert (event.payload, event.problem) == ({}, None)


def test_a_deployment_through_hubot_sends_its_payload_as_text() -> None:
    event = deployment("deployment_hubot")
    assert event.payload["name"] == "hello-world"
    assert event.payload["notify"] == {
        "adapter": "slack",
        "room": "deploys",
        "user": "U024BE7LH",
        "user_name": "alice",
    }
    assert (event.ref, event.task, event.environment) == ("feature/login", "deploy:migrations", "staging")
    assert event.problem is None


def test_a_deployment_by_a_bot_is_nobodys() -> None:
    event = deployment("deployment_by_actions")
    assert (event.creator, event.creator_is_person) == ("github-actions[bot]", False)
    assert event.payload == {}


def test_an_old_delivery_without_action_installation_or_clone_url() -> None:
    event = deployment("deployment_2015")
    assert event.installation_id is None
    assert event.repository.clone_url == "https://github.com/Codertocat/Hello-World.git"
    assert event.payload == {}


def test_a_deployment_whose_creator_is_gone_is_no_persons() -> None:
    event = deployment(creator=None)
    assert (event.creator, event.creator_is_person) == ("ghost", False)


@pytest.mark.parametrize("payload", [{}, "", "  ", None, "{}", "null", '""'])
def test_an_empty_payload(payload: object) -> None:
    event = deployment(payload=payload)
    assert (event.payload, event.problem) == ({}, None)


def test_a_payload_that_is_encrypted_says_what_to_switch_off() -> None:
    """A token as the fernet specification's own example, lengthened to what hubot-deploy's payload takes."""
    token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
    event = deployment(payload=token)
    assert (event.payload, event.problem is not None) == ({}, True)
    assert event.problem and "HUBOT_DEPLOY_ENCRYPT_PAYLOAD" in event.problem


@pytest.mark.parametrize("payload", ["deploy it", "[1]", "7", 7, [1], True, '"{}"', "[" * 5000, "{" + '"a":{' * 5000])
def test_a_payload_that_is_no_object_is_a_problem_and_no_failure(payload: object) -> None:
    event = deployment(payload=payload)
    assert event.payload == {}
    assert event.problem is not None
    assert "payload" in event.problem
    assert len(event.problem) < 200


@pytest.mark.parametrize(
    ("sent", "ref"),
    [
        ("refs/heads/x", "x"),
        ("refs/tags/v1", "v1"),
        ("refs/heads/", "refs/heads/"),
        ("refs/pull/1/head", "refs/pull/1/head"),
        (None, SHA),
    ],
)
def test_the_ref_is_the_short_name(sent: str | None, ref: str) -> None:
    assert deployment(ref=sent).ref == ref


def test_only_a_created_deployment_is_work() -> None:
    assert parse("deployment", {**load("deployment"), "action": "deleted"}) is None


def test_seconds_since_the_epoch_are_a_time_too() -> None:
    assert deployment(created_at=1557933653).created_at == 1557933653000


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("repository",), "repository"),
        (("repository", "id"), "id"),
        (("repository", "full_name"), "full_name"),
        (("deployment",), "deployment"),
        (("deployment", "sha"), "sha"),
        (("deployment", "id"), "id"),
        (("deployment", "created_at"), "created_at"),
    ],
)
def test_what_a_deployment_cannot_do_without_is_named(missing: tuple[str, ...], named: str) -> None:
    delivery = load("deployment")
    inner = delivery
    for key in missing[:-1]:
        inner = inner[key]
    del inner[missing[-1]]
    with pytest.raises(UnusableDelivery, match=f"deployment delivery cannot be used: .*`{named}`"):
        parse("deployment", delivery)


def test_a_deployment_without_its_time_has_no_place_in_the_line() -> None:
    with pytest.raises(UnusableDelivery, match="created_at"):
        deployment(created_at=None)


@pytest.mark.parametrize("name", ["ping", "deployment_status"])
def test_nothing_to_do(name: str) -> None:
    assert parse(name, body(name)) is None


def test_an_unknown_event_is_not_even_read() -> None:
    assert parse("sponsorship", b"not json") is None


def test_a_status() -> None:
    event = check("status", "status")
    assert (event.sha, event.repository.id) == (SHA, 186853002)
    assert event.check is not None
    assert event.check.key == "status/continuous-integration/jenkins"
    assert event.check.name == "continuous-integration/jenkins"
    assert event.check.state is CheckState.SUCCESS
    assert (event.check.at, event.check.serial) == (1557933657000, 6805126730)
    assert event.check.url == "https://ci.example.com/1000/output"
    assert event.check.detail == "Build has completed successfully"


def test_a_sparse_status_with_a_link_that_no_page_may_show() -> None:
    event = check("status_sparse", "status")
    assert event.check is not None
    assert event.check.state is CheckState.FAILURE
    assert event.check.url is None
    assert event.check.at == 1557933655000


def test_a_check_run() -> None:
    event = check("check_run_completed", "check_run")
    assert event.sha == SHA
    assert event.check is not None
    assert (event.check.key, event.check.name) == ("run/29310/build", "build")
    assert event.check.state is CheckState.FAILURE
    assert (event.check.at, event.check.serial) == (1557934274000, 128620228)
    assert event.check.detail == "Ran out of time"
    assert event.check.url == "https://github.com/Codertocat/Hello-World/runs/128620228"


def test_a_run_that_has_just_been_created_is_pending_and_older() -> None:
    created, completed = check("check_run_created", "check_run").check, check("check_run_completed", "check_run").check
    assert created is not None
    assert completed is not None
    assert created.state is CheckState.PENDING
    assert created.key == completed.key
    assert completed.newer_than(created)


def test_a_run_without_its_app_says_only_that_something_changed() -> None:
    event = check("check_run_without_app", "check_run")
    assert (event.sha, event.check) == (SHA, None)


def test_a_suite_says_only_that_something_changed() -> None:
    event = check("check_suite_completed", "check_suite")
    assert (event.sha, event.check) == (SHA, None)


def test_events_give_the_very_check_that_a_fetch_gives() -> None:
    run = load("check_run_completed")["check_run"]
    assert check("check_run_completed", "check_run").check == check_of_run(msgspec.convert(run, RunShape))
    status = load("status")
    fetched = {key: value for key, value in status.items() if key not in ("sha", "repository", "installation")}
    assert check("status", "status").check == check_of_status(msgspec.convert(fetched, StatusShape))


@pytest.mark.parametrize(
    ("status", "conclusion", "state"),
    [
        ("completed", "success", CheckState.SUCCESS),
        ("completed", "neutral", CheckState.SUCCESS),
        ("completed", "skipped", CheckState.SUCCESS),
        ("completed", "failure", CheckState.FAILURE),
        ("completed", "cancelled", CheckState.FAILURE),
        ("completed", "timed_out", CheckState.FAILURE),
        ("completed", "action_required", CheckState.FAILURE),
        ("completed", "stale", CheckState.FAILURE),
        ("completed", "startup_failure", CheckState.FAILURE),
        ("completed", "invented_tomorrow", CheckState.FAILURE),
        ("completed", None, CheckState.FAILURE),
        ("queued", None, CheckState.PENDING),
        ("in_progress", None, CheckState.PENDING),
        ("waiting", None, CheckState.PENDING),
        ("requested", None, CheckState.PENDING),
        ("pending", None, CheckState.PENDING),
        (None, None, CheckState.PENDING),
        ("in_progress", "success", CheckState.PENDING),
    ],
)
def test_conclusions(status: str | None, conclusion: str | None, state: CheckState) -> None:
    delivery = load("check_run_completed")
    delivery["check_run"].update(status=status, conclusion=conclusion)
    event = parse("check_run", delivery)
    assert isinstance(event, CheckEvent)
    assert event.check is not None
    assert event.check.state is state


@pytest.mark.parametrize(
    ("sent", "state"),
    [
        ("success", CheckState.SUCCESS),
        ("pending", CheckState.PENDING),
        ("failure", CheckState.FAILURE),
        ("error", CheckState.FAILURE),
        ("invented_tomorrow", CheckState.FAILURE),
    ],
)
def test_states_of_a_status(sent: str, state: CheckState) -> None:
    event = parse("status", {**load("status"), "state": sent})
    assert isinstance(event, CheckEvent)
    assert event.check is not None
    assert event.check.state is state


def test_installations() -> None:
    created = parse("installation", body("installation_created"))
    assert isinstance(created, InstallationEvent)
    assert (created.installation_id, created.account) == (957387, "Codertocat")
    assert created.added == ((1296269, "Codertocat/Space"), (186853002, "Codertocat/Hello-World"))
    assert created.permissions["deployments"] == "write"
    assert not created.gone

    deleted = parse("installation", body("installation_deleted"))
    assert isinstance(deleted, InstallationEvent)
    assert (deleted.gone, deleted.added, deleted.removed) == (True, (), (1296269, 186853002))

    suspended = parse("installation", body("installation_suspend"))
    assert isinstance(suspended, InstallationEvent)
    assert (suspended.gone, suspended.added, suspended.removed) == (True, (), ())

    changed = parse("installation_repositories", body("installation_repositories"))
    assert isinstance(changed, InstallationEvent)
    assert (changed.added, changed.removed) == (((1296269, "Codertocat/Space"),), (186853002,))
    assert not changed.gone


def push(name: str = "push", **changed: object) -> PushEvent:
    event = parse("push", {**load(name), **changed})
    assert isinstance(event, PushEvent)
    return event


def test_a_push() -> None:
    event = push()
    assert (event.repository.full_name, event.installation_id) == ("Codertocat/Hello-World", 375706)
    assert (event.branch, event.before, event.after) == ("main", "6113728f27ae82c7b1a177c8d03f9e96e0adf246", SHA)
    assert (event.created, event.deleted, event.forced) == (False, False, False)
    assert (event.message, event.pusher) == ("Update README.md\n\nSays how to begin.", "Codertocat")
    assert event.paths == {"docs/index.md", "README", "README.md"}


def test_a_push_that_creates_forces_or_deletes_a_branch() -> None:
    created = push(ref="refs/heads/feature/login", before="0" * 40, created=True, commits=[])
    assert (created.branch, created.created, created.before, created.after) == ("feature/login", True, None, SHA)
    assert created.paths == {"README", "README.md"}
    assert push(forced=True).forced
    deleted = push("push_deleted")
    assert (deleted.deleted, deleted.before, deleted.after, deleted.message) == (True, SHA, None, "")


@pytest.mark.parametrize("ref", ["refs/tags/v1", "refs/heads/", "refs/notes/commits", "main"])
def test_a_push_of_anything_but_a_branch_is_nothing(ref: str) -> None:
    assert parse("push", {**load("push"), "ref": ref}) is None


def test_who_pushed_by_a_deploy_key() -> None:
    assert push(sender=None, pusher={"name": "release-key"}).pusher == "release-key"
    assert push(sender=None, pusher=None).pusher == "ghost"


@pytest.mark.parametrize(
    "nonsense", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"[" * 5000, b'{"repository":' * 5000]
)
@pytest.mark.parametrize("event_name", sorted({*EVENTS.values()} - {"ping", "deployment_status"}))
def test_nonsense_is_unusable(event_name: str, nonsense: bytes) -> None:
    with pytest.raises(UnusableDelivery, match="cannot be used"):
        parse(event_name, nonsense)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _paths(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [path]
    return [path, *(found for key, inner in value.items() for found in _paths(inner, (*path, key)))]


@given(data=st.data(), name=st.sampled_from(sorted(EVENTS)), replaced=JSON, remove=st.booleans())
def test_whatever_comes_it_is_read_or_refused(data: st.DataObject, name: str, replaced: Any, remove: bool) -> None:
    """One field anywhere in a real delivery is something else, or gone."""
    delivery = deepcopy(load(name))
    path = data.draw(st.sampled_from([path for path in _paths(delivery) if path]))
    inner = delivery
    for key in path[:-1]:
        inner = inner[key]
    inner.pop(path[-1])
    if not remove:
        inner[path[-1]] = replaced
    for sent in (delivery, json.dumps(delivery).encode()):
        try:
            parse(EVENTS[name], sent)
        except ValueError as error:
            assert "cannot be used" in str(error)


@given(name=st.sampled_from(sorted(set(EVENTS.values()))), sent=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(name: str, sent: bytes) -> None:
    try:
        parse(name, sent)
    except ValueError as error:
        assert "cannot be used" in str(error)
