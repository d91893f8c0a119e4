"""What chat sends along with a deployment, and how a deploy that chat asked for can be forced."""

import pytest

from ghapp.core import forcing, payloads
from ghapp.core.forcing import Held
from ghapp.core.values import Blocker, BlockerKind, Chat

ALICE = Chat("slack", "deploys", "U024BE7LH", "alice")


@pytest.mark.parametrize(
    ("notify", "chat", "shown"),
    [
        ({"adapter": "slack", "room": "deploys", "user": "U024BE7LH", "user_name": "alice"}, ALICE, "alice"),
        ({"user": "bob"}, Chat(user="bob"), "bob"),
        ({"user": 7, "thread_id": 12, "message_id": True}, Chat(user="7", thread_id="12"), "7"),
        ({"user_name": " al\nice\0 ", "room": ["x"]}, Chat(user_name="alice"), "alice"),
        ({"room": "x" * 500}, Chat(room="x" * 200), None),
        ({"user": ""}, None, None),
        ({}, None, None),
        ("alice", None, None),
        (None, None, None),
    ],
)
def test_where_it_was_asked_for(notify: object, chat: Chat | None, shown: str | None) -> None:
    found = payloads.chat_of({"notify": notify})
    assert (found, payloads.asked_by(found)) == (chat, shown)


@pytest.mark.parametrize(
    ("sent", "task"),
    [
        ("deploy", "deploy"),
        ("migrate", "migrate"),
        ("deploy:migrate", "migrate"),
        ("deploy:whole", "deploy:whole"),
        ("deploy:", "deploy:"),
        ("deploy:deploy:migrate", "deploy:migrate"),
    ],
)
def test_the_task_x_is_called_deploy_x_in_chat(sent: str, task: str) -> None:
    assert payloads.task_named(sent, ("deploy", "migrate", "deploy:whole")) == task


LOCK = Blocker(BlockerKind.LOCK, "production is locked by bob.")
RED = Blocker(BlockerKind.CHECKS, "Check ci failed.")
GREY = Blocker(BlockerKind.CHECKS, "Waiting for check e2e.")


def held(*forced: str, task: str = "deploy") -> Held:
    return Held(app="hello", number=12, environment="production", sha="a" * 40, task=task, forced=frozenset(forced))


def test_what_waits_says_how_to_force_it_once_for_each_kind() -> None:
    said = [one.message for one in forcing.waiting(held(), (LOCK, RED, GREY))]
    assert said == [
        "production is locked by bob. To force it: kedge force hello 12 --past lock.",
        "Check ci failed. To force it: kedge force hello 12.",
        "Waiting for check e2e.",
    ]


@pytest.mark.parametrize("forced", ["lock", "all"])
def test_a_lock_that_forcing_did_not_pass_says_who_may(forced: str) -> None:
    (one,) = forcing.waiting(held(forced), (LOCK,))
    assert one.message.startswith(LOCK.message) and "takes admin permission" in one.message


def test_what_was_rejected_says_how_to_ask_again() -> None:
    command = "kedge deploy hello --env production --sha aaaaaaa"
    (red, grey) = forcing.rejected(held(), (RED, GREY))
    assert red.message == f"Check ci failed. To force it: {command} --force checks."
    assert grey == GREY
    (red,) = forcing.rejected(held(task="migrate"), (RED,))
    assert red.message.endswith(f"{command} --task migrate --force checks.")
    assert forcing.rejected(held("checks"), (RED,)) == (RED,)
