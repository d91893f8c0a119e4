"""Who may do what with which token; how often; for how long."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghapp.core import durations, sentences
from ghapp.core.actors import ADMIN, EVERYBODY, NOBODY, SCOPES, Actor, Grant
from ghapp.core.limits import Rate, take

ANA = Actor("ana", frozenset({"read", "deploy"}))


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_is_for_itself_alone_but_for_admin(scope: str) -> None:
    actor = Actor("ana", frozenset({scope}))
    included = set(SCOPES) - {"runner"} if scope == "admin" else {scope}
    assert {one for one in SCOPES if actor.can(one)} == included
    assert actor.admin is (scope == "admin")


def test_the_operator_is_no_runner_and_who_is_not_signed_in_may_read_at_most() -> None:
    assert not ADMIN.can("runner") and ADMIN.admin and ADMIN.signed_in
    assert [scope for scope in SCOPES if NOBODY.can(scope)] == []
    assert [scope for scope in SCOPES if EVERYBODY.can(scope)] == ["read"]
    assert not EVERYBODY.signed_in


@pytest.mark.parametrize(
    ("apps", "environments", "asked", "covered"),
    [
        (None, None, (None, None), True),
        (None, None, ("shop", "production"), True),
        (("shop",), None, (None, None), False),
        (("shop",), None, ("shop", None), True),
        (("shop",), None, ("shop", "production"), True),
        (("shop",), None, ("blog", "production"), False),
        (None, ("staging",), (None, None), False),
        (None, ("staging",), ("shop", None), False),
        (None, ("staging",), ("shop", "staging"), True),
        (None, ("staging",), ("shop", "production"), False),
        (("shop",), ("staging",), ("shop", "staging"), True),
        (("shop",), ("staging",), ("blog", "staging"), False),
    ],
)
def test_what_a_narrowed_token_covers(
    apps: tuple[str, ...] | None,
    environments: tuple[str, ...] | None,
    asked: tuple[str | None, str | None],
    covered: bool,
) -> None:
    actor = replace(ANA, apps=apps, environments=environments)
    assert actor.covers(*asked) is covered
    assert actor.has("deploy", *asked) is covered
    assert not actor.has("lock", *asked)
    assert actor.narrowed is (apps is not None or environments is not None)


def test_a_narrowed_admin_is_none_elsewhere() -> None:
    admin = Actor("ana", frozenset({"admin"}), environments=("staging",))
    assert not admin.admin
    assert admin.has("admin", "shop", "staging") and not admin.has("admin", "shop")


def test_who_is_narrowed_to_an_environment_sees_its_app() -> None:
    actor = replace(ANA, environments=("staging",))
    assert actor.sees("shop") and actor.sees("shop", "staging") and not actor.sees("shop", "production")
    assert not replace(actor, scopes=frozenset({"deploy"})).sees("shop")


@pytest.mark.parametrize(
    ("granted", "wished", "labels"),
    [
        (None, ("prod",), ("prod",)),
        (("prod", "eu"), (), ("prod", "eu")),
        (("prod", "eu"), ("prod", "us"), ("prod",)),
        (("prod",), ("us",), ()),
    ],
)
def test_labels_beyond_the_token_do_not_count(
    granted: tuple[str, ...] | None, wished: tuple[str, ...], labels: tuple[str, ...]
) -> None:
    assert Grant(labels=granted).labels_of(wished) == labels


def test_what_a_narrowed_token_is_for_is_said() -> None:
    reads = frozenset({"read"})
    for_apps, for_staging = Actor("ana", reads, ("shop", "blog")), Actor("ana", reads, None, ("staging",))
    assert sentences.not_covered(for_apps, "wiki") == "This token is only for shop and blog."
    assert sentences.not_covered(for_staging) == "This token is only for all apps in staging."
    ana = Actor("ana", reads, ("shop",), provider="github")
    assert sentences.not_covered(ana, "wiki") == "There is no app wiki whose repository ana can read."
    assert sentences.not_covered(ana).startswith("This takes a token: ana is signed in")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 90 * 86_400), ("12h", 43_200), ("1w", 604_800), ("5m", 300), ("7s", 7)]
    + [(text, None) for text in ("", "90", "d", "-1d", "1.5h", "0d", "1y", "1d2h", " 1d", "1d\n", "٣d", "1" * 7 + "d")],
)
def test_durations(text: str, seconds: int | None) -> None:
    assert durations.seconds(text) == seconds


RATE = Rate(per_s=2, burst=3)


def test_a_bucket_gives_its_burst_and_then_as_it_fills() -> None:
    full_at, waits = 0.0, []
    for _ in range(4):
        full_at, wait_s = take(RATE, full_at, 10_000)
        waits.append(wait_s)
    assert waits == [0, 0, 0, 1]
    assert take(RATE, full_at, 10_499)[1] == 1
    full_at, wait_s = take(RATE, full_at, 10_500)
    assert wait_s == 0 and take(RATE, full_at, 10_500)[1] == 1


def test_a_clock_that_is_set_back_closes_the_bucket_no_longer_than_it_takes_to_fill() -> None:
    full_at = 0.0
    for _ in range(3):
        full_at, _ = take(RATE, full_at, 1_000_000)
    assert take(RATE, full_at, 0)[1] == 1
    assert take(RATE, full_at, 1_000_500)[1] == 0


@given(
    st.lists(st.integers(0, 2_000), max_size=60),
    st.floats(0.1, 50),
    st.integers(1, 20),
)
def test_never_more_than_the_rate_allows_and_the_wait_is_enough(gaps: list[int], per_s: float, burst: int) -> None:
    rate, full_at, now, taken = Rate(per_s, burst), 0.0, 0, 0
    for gap in gaps:
        now += gap
        full_at, wait_s = take(rate, full_at, now)
        taken += wait_s == 0
        assert taken <= burst + now / 1000 * per_s + 1e-6
        assert wait_s == 0 or take(rate, full_at, now + wait_s * 1000)[1] == 0
