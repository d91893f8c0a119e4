"""Command templates: what is replaced, and that no value can become a command in a real shell."""

import shlex
import string
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ghapp.core.commands import VARIABLES, UnsafeValue, Values, environment, near_misses, render

SHA = "0123456789abcdef0123456789abcdef01234567"
VALUES = Values(app="sentry", env="production", sha=SHA, ref="main", task="deploy", user="ana", number=7)
ALLOWED = string.ascii_letters + string.digits + "._/@:+,%-"
HOSTILE = ["x;touch pwned", "$(id)", "$(touch pwned)", "`touch pwned`", "a&&touch pwned", "a|tee pwned", ">pwned",
           "a\ntouch pwned", "a\n", '"; touch pwned; "', "'; touch pwned; '", "\\$(touch pwned)", "-rf", "-", "*", "~",
           "?", "[a]", "{a,b}", "!!", "#a", "a b", "é", "＄(id)", "%s=", "a=b", "\x00", "^a", "a\\"]  # fmt: skip


def _with(name: str, value: str) -> Values:
    changes: dict[str, Any] = {name: value}
    return replace(VALUES, **changes)


def test_every_variable_is_replaced() -> None:
    values = replace(VALUES, hosts="web1,web2:22", previous_sha="f" * 40)
    assert render("fab -R {env} deploy:sha={sha}", values) == f"fab -R production deploy:sha={SHA}"
    assert render("{app} {ref} {task} {user} {hosts} {previous_sha} {number}", values) == (
        f"sentry main deploy ana web1,web2:22 {'f' * 40} 7"
    )


def test_what_there_is_not_is_replaced_by_nothing() -> None:
    assert render("x={hosts}{previous_sha}.", VALUES) == "x=."


@pytest.mark.parametrize(
    "template",
    ["${env}", "${sha:-none}", "{{env}}", "${{env}}", "{{{env}}}", "{ env }", "{ENV}", "{other}", "{a,b}", "{}", "{",
     "awk '{print $1}'", "$env", "{env", "env}"],
)  # fmt: skip
def test_other_braces_are_left_alone(template: str) -> None:
    assert render(template, VALUES) == template


def test_braces_around_a_variable_stay() -> None:
    assert render('{"number":{number},"in":{"{env}":1}}', VALUES) == '{"number":7,"in":{"production":1}}'


def test_a_value_is_not_looked_at_again() -> None:
    """Plain text, replaced once: a value that were a variable's name in braces is refused before that."""
    with pytest.raises(UnsafeValue):
        render("{hosts}", replace(VALUES, hosts="{sha}"))


@pytest.mark.parametrize("value", HOSTILE)
def test_a_ref_that_is_not_safe_is_handed_on_as_its_sha(value: str) -> None:
    assert render("x {ref}", replace(VALUES, ref=value)) == f"x {SHA}"


def test_an_empty_ref_is_handed_on_as_its_sha() -> None:
    assert render("{ref}", replace(VALUES, ref="")) == SHA


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["user", "hosts", "app", "env", "sha", "task", "previous_sha"])
def test_any_other_value_that_is_not_safe_is_refused_where_it_is_used(name: str, value: str) -> None:
    values = _with(name, value)
    with pytest.raises(UnsafeValue) as refused:
        render(f"x {{{name}}}", values)
    assert refused.value.variable == name
    assert f"$KEDGE_{name.upper()}" in str(refused.value)
    assert str(refused.value).isprintable()
    assert render("x {number}", values) == "x 7"


def test_a_bot_may_deploy_with_a_command_that_does_not_name_it() -> None:
    bot = replace(VALUES, user="renovate[bot]")
    assert render("deploy {sha}", bot) == f"deploy {SHA}"
    assert environment(bot)["KEDGE_USER"] == "renovate[bot]"
    with pytest.raises(UnsafeValue, match=r"“renovate\[bot\]”"):
        render("deploy {user}", bot)


def test_a_long_value_is_cut_in_the_sentence() -> None:
    with pytest.raises(UnsafeValue) as refused:
        render("{hosts}", replace(VALUES, hosts="$" * 100_000))
    assert len(str(refused.value)) < 400


def test_the_environment_carries_every_value_raw() -> None:
    values = replace(VALUES, ref="$(id);x", hosts="a b")
    assert environment(values) == {
        "KEDGE_APP": "sentry",
        "KEDGE_ENV": "production",
        "KEDGE_SHA": SHA,
        "KEDGE_REF": "$(id);x",
        "KEDGE_TASK": "deploy",
        "KEDGE_USER": "ana",
        "KEDGE_HOSTS": "a b",
        "KEDGE_PREVIOUS_SHA": "",
        "KEDGE_NUMBER": "7",
    }


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_the_environment_refuses_what_it_cannot_hold(value: str) -> None:
    with pytest.raises(UnsafeValue, match="NUL"):
        environment(replace(VALUES, ref=value))


hostile_text = st.text(max_size=30) | st.text(alphabet=string.printable, max_size=30) | st.sampled_from(HOSTILE)
harmless_text = st.text(alphabet=ALLOWED, max_size=30)


def _in_three_shells(variable: str, values: Values) -> list[str]:
    """What a program is given, through one shell, two shells and eval. Fails if a file appears."""
    template = rf"""printf '%s\n' {{{variable}}}; sh -c "sh -c \"echo {{{variable}}}\""; eval "echo {{{variable}}}" """
    command = render(template, values)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=30)
        assert list(Path(folder).iterdir()) == []
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")


@settings(max_examples=40, deadline=None)
@given(hostile_text | harmless_text)
@example("$(id)")
@example("x;touch pwned")
@example(ALLOWED)
def test_a_shell_sees_the_ref_or_the_sha_literally(ref: str) -> None:
    expected = ref if ref and set(ref) <= set(ALLOWED) and not ref.startswith("-") else SHA
    assert _in_three_shells("ref", replace(VALUES, ref=ref)) == [expected] * 3 + [""]


@settings(max_examples=40, deadline=None)
@given(hostile_text | harmless_text, st.sampled_from(["user", "hosts"]))
@example(ALLOWED, "hosts")
def test_a_shell_sees_user_and_hosts_literally_or_never(value: str, name: str) -> None:
    values = _with(name, value)
    safe = set(value) <= set(ALLOWED) and not value.startswith("-")
    if not safe:
        with pytest.raises(UnsafeValue):
            render(f"{{{name}}}", values)
        return
    assume(value)
    assert _in_three_shells(name, values) == [value] * 3 + [""]


@given(hostile_text)
def test_the_environment_reaches_the_command_unchanged(ref: str) -> None:
    assume("\0" not in ref)
    assert environment(replace(VALUES, ref=ref))["KEDGE_REF"] == ref


@given(st.text())
def test_a_template_without_variables_stays_as_it_is(template: str) -> None:
    assume(not any(f"{{{name}}}" in template for name in VARIABLES))
    assert render(template, VALUES) == template


@given(harmless_text.filter(lambda text: text and not text.startswith("-")))
def test_a_safe_value_needs_no_quotes(value: str) -> None:
    assert shlex.split(render("x {hosts}", replace(VALUES, hosts=value))) == ["x", value]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("fab -R {enviroment}", ["{enviroment}", "did you mean {env}?"]),
        ("x {SHA}", ["{SHA}", "did you mean {sha}?"]),
        ("x { sha }", ["{ sha }", "did you mean {sha}?"]),
        ("x {branch}", ["{branch}", "known are {app} {env}"]),
        ("x {{sha}}", ["{{sha}}", "only {sha} is replaced"]),
        ("x {previous-sha}", ["{previous-sha}", "did you mean {previous_sha}?"]),
    ],
)
def test_near_misses_are_named(template: str, said: list[str]) -> None:
    (sentence,) = near_misses(template)
    assert all(part in sentence for part in said)


@pytest.mark.parametrize(
    "template",
    ["{sha} {env}", "${SHA} ${{ENV}} ${{ env }}", "{{name}}", "{a,b} {1..3} {print $1}", '{"n":{number}}', "{}"],
)
def test_what_is_no_near_miss_is_not_named(template: str) -> None:
    assert near_misses(template) == []


def test_each_near_miss_is_named_once() -> None:
    assert len(near_misses("{SHA} {SHA} {Env}")) == 2
