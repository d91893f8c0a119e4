"""KEDGE_SECRETS: what binds which secret to what, what is wrong with such a file, and where values come from."""

import os
import signal
import stat
from pathlib import Path

import pytest

from ghapp.core.settings import SettingsError
from runner import secrets
from runner.secrets import NoSecret, Secrets
from tests.unit.test_runner_rules import job

BOUND = """
sentry/production: {KEY: exact-value, FILE: {file: /etc/hostname}}
sentry/*: {KEY: of-the-app}
getsentry/sentry/staging: {KEY: of-the-repository}
"*/staging": {KEY: any-app, SHARED: shared-value}
"*/*": {KEY: anywhere}
"""


def bound(tmp_path: Path, text: str, mode: int = 0o600) -> secrets.Bindings:
    path = tmp_path / "secrets.yml"
    path.write_text(text)
    path.chmod(mode)
    return secrets.load(path)


@pytest.mark.parametrize(
    ("app", "environment", "defined_in", "value"),
    [
        ("sentry", "production", "operator", "exact-value"),
        ("sentry", "qa", "operator", "of-the-app"),
        ("sentry", "staging", "operator", "of-the-app"),
        ("other", "staging", "operator", "of-the-repository"),
        ("other", "qa", "operator", "anywhere"),
        ("sentry", "staging", "repository", "of-the-repository"),
        ("sentry", "production", "repository", None),
    ],
)
async def test_the_nearest_binding_counts(
    tmp_path: Path, app: str, environment: str, defined_in: str, value: str | None
) -> None:
    """What a repository defines gets only what is bound to that repository, however it calls itself."""
    held = Secrets(bound(tmp_path, BOUND), {"KEY": "own-variable"})
    wanted = job(app=app, environment=environment, defined_in=defined_in, secrets=["KEY"])
    assert held.missing(wanted) == ([] if value else ["KEY"])
    if value:
        assert await held.values(wanted) == {"KEY": value}


async def test_own_variables_are_for_the_operators_apps_and_never_the_runners_token() -> None:
    held = Secrets({}, {"KEY": "own-variable", "KEDGE_RUNNER_TOKEN": "t" * 24})
    assert await held.values(job(secrets=["KEY"])) == {"KEY": "own-variable"}
    assert held.missing(job(secrets=["KEY", "KEDGE_RUNNER_TOKEN", "OTHER"])) == ["KEDGE_RUNNER_TOKEN", "OTHER"]
    assert held.missing(job(secrets=["KEY"], defined_in="repository")) == ["KEY"]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{file: %s/file}", "two\nlines"),
        ('{command: \'printf "%%s\\n" "$GREETING"\'}', "good morning"),
        ("{value: plain-text}", "plain-text"),
    ],
)
async def test_where_values_come_from(tmp_path: Path, source: str, value: str) -> None:
    (tmp_path / "file").write_text("two\nlines\n")
    text = "sentry/staging: {KEY: " + (source % tmp_path if "%s/" in source else source.replace("%%", "%")) + "}"
    held = Secrets(bound(tmp_path, text), {"GREETING": "good morning", "PATH": "/usr/bin:/bin"})
    assert await held.values(job(secrets=["KEY"])) == {"KEY": value}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{file: /nowhere/to/be/found}", "No such file or directory (/nowhere/to/be/found)"),
        ("{file: /dev/null}", "shorter than 6 bytes"),
        ("{command: 'echo s3cret-value; exit 3'}", "exit code 3"),
        ("{command: 'echo abc'}", "shorter than 6 bytes"),
        ("{command: 'head -c 70000 /dev/zero | tr \"\\\\0\" x'}", "longer than 65536 bytes"),
        ("{command: 'printf \"abc\\\\0defg\"'}", "NUL"),
    ],
)
async def test_what_cannot_be_had_is_told_without_its_value(tmp_path: Path, source: str, says: str) -> None:
    held = Secrets(bound(tmp_path, "sentry/staging: {KEY: " + source + "}"), {"PATH": "/usr/bin:/bin"})
    with pytest.raises(NoSecret) as caught:
        await held.values(job(secrets=["KEY"]))
    assert says in str(caught.value) and "KEY" in str(caught.value) and "s3cret" not in str(caught.value)


async def test_a_command_may_leave_an_agent_that_holds_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "LATE_S", 0.05)
    command = f"echo s3cret-value; sleep 600 & echo $! > {tmp_path}/agent"
    held = Secrets(bound(tmp_path, f"sentry/staging: {{KEY: {{command: '{command}'}}}}"), {"PATH": "/usr/bin:/bin"})
    assert await held.values(job(secrets=["KEY"])) == {"KEY": "s3cret-value"}
    os.kill(int((tmp_path / "agent").read_text()), signal.SIGKILL)  # it lives


async def test_what_a_command_started_may_print_after_its_end(tmp_path: Path) -> None:
    command = f"(read go < {tmp_path}/go; echo s3cret-value) & exec 1>&-; (exec echo > {tmp_path}/go) &"
    os.mkfifo(tmp_path / "go")
    held = Secrets(bound(tmp_path, f"sentry/staging: {{KEY: {{command: '{command}'}}}}"), {"PATH": "/usr/bin:/bin"})
    assert await held.values(job(secrets=["KEY"])) == {"KEY": "s3cret-value"}


async def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_S", 0.05)
    held = Secrets(bound(tmp_path, "sentry/staging: {KEY: {command: 'sleep 600; true'}}"), {"PATH": "/usr/bin:/bin"})
    with pytest.raises(NoSecret, match="took longer"):
        await held.values(job(secrets=["KEY"]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a", "line 2 is no YAML"),
        ("- a", "must be a mapping"),
        ("sentry: {KEY: long-enough}", "sentry must be app/environment"),
        ("sentry/staging: long-enough", "must be a mapping from names"),
        ("a/b: {KEY: long-enough}\nc/d: {}\na/b: {OTHER: long-enough}", "a/b stands twice, on lines 1 and 3"),
        ("a/b: {KEY: long-enough, KEY: long-enough}", "KEY stands twice, on lines 1 and 1"),
        ("Acme/Shop/qa: {}\nacme/shop/qa: {}", "acme/shop/qa is the same as Acme/Shop/qa; make one of the two"),
        ("Sentry/Production: {KEY: long-enough}", "Sentry/Production names no app: an app's name consists of a-z"),
        ("sentry/the production: {KEY: long-enough}", "sentry/the production names no environment"),
        ("sentry/prod*: {KEY: long-enough}", "sentry/prod* has a * that is only a part of a name"),
        ("acme/*/staging: {KEY: long-enough}", "write each name out, or * alone"),
        ("sentry/staging: {KEY: 1234567}", "sentry/staging: KEY must be text (quote a number)"),
        ("sentry/staging: {KEY: short}", "sentry/staging: KEY is shorter than 6 bytes"),
        ("sentry/staging: {1KEY: long-enough}", "no variable's name"),
        ("sentry/staging: {KEDGE_SHA: long-enough}", "begins with KEDGE_"),
        ("sentry/staging: {KEY: {comand: pass}}", "did you mean command?"),
        ("sentry/staging: {KEY: {file: relative}}", "must begin with /"),
        ("sentry/staging: {KEY: {file: /a, value: long-enough}}", "one of {value: …}"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        bound(tmp_path, text + "\n")
    assert says in str(caught.value)


def test_what_is_merged_may_be_said_anew(tmp_path: Path) -> None:
    text = "a/b: &all {KEY: long-enough, OTHER: long-enough}\na/c: {<<: *all, KEY: another-one}\n"
    bindings = bound(tmp_path, text)
    assert bindings["a", "c"]["KEY"].text == "another-one" and bindings["a", "c"]["OTHER"].text == "long-enough"


def test_every_problem_is_named_at_once_and_no_value(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        bound(tmp_path, "a/b: {KEY: 's3cr', OTHER: {fil: /s3cret}}\nc: {}\n")
    assert len(caught.value.problems) == 3 and "s3cr" not in str(caught.value)


def test_a_file_for_everybody_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod o-rwx"):
        bound(tmp_path, BOUND, 0o604)
    assert bound(tmp_path, BOUND, stat.S_IRUSR | stat.S_IRGRP)
    with pytest.raises(SettingsError, match="No such file"):
        secrets.load(tmp_path / "nowhere")


def test_nothing_tells_a_value(tmp_path: Path) -> None:
    assert "exact-value" not in repr(Secrets(bound(tmp_path, BOUND), {"KEY": "exact-value"}).bindings)
    assert "own-variable" not in repr(Secrets({}, {"KEY": "own-variable"}))
