"""When a head counts as pushed before a comment: times in ms, whole seconds compared."""

import pytest

from ghapp.core.heads import was_there

AT = 1_795_442_400_000
HEAD, OTHER = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("heard_of_at", "told", "there"),
    [
        (None, None, True),
        (AT - 1000, None, True),
        (AT, None, False),
        (AT + 999, None, False),
        (AT + 1000, None, False),
        (None, (HEAD, AT - 1000), True),
        (None, (HEAD, AT), False),
        (None, (HEAD, AT + 5000), False),
        # An event of the newest push has not come yet.
        (None, (OTHER, AT - 1000), False),
        # Pushed elsewhere long before, and to the pull request only after the comment.
        (AT - 60_000, (HEAD, AT + 5000), False),
        (AT - 60_000, (OTHER, AT + 5000), False),
        # An event was lost; the provider knew the commit.
        (AT - 1000, (OTHER, AT - 60_000), True),
    ],
)
def test_a_head_was_there(heard_of_at: int | None, told: tuple[str, int] | None, there: bool) -> None:
    assert was_there(AT, heard_of_at, told, HEAD) is there
