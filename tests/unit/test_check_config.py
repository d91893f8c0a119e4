"""What `kedge check-config` says of a config, and that it says nothing of a good one that is not there."""

import json
from pathlib import Path

import pytest

from ghapp.__main__ import main
from ghapp.apps import parse
from ghapp.core.explaining import Host, explain

GOOD = """
sentry:
  repository: getsentry/sentry
  deploy: "fab -R {env} deploy:sha={sha}"
  tasks: {migrate: "fab migrate"}
  environments:
    staging: {aliases: [stg], auto: {branch: main}}
    production:
      checks: [ci, build]
      refs: [main]
      allow: {users: [ana, "renovate[bot]"], teams: [ops]}
      secrets: [KEY]
      runner: [prod]
      silence: 10m
"""


GITHUB = Host(people=True, checks=True)


def warnings(environment: str, **keys: str) -> list[str]:
    lines = "".join(f"\n      {key}: {value}" for key, value in {"deploy": "'x {sha}'", **keys}.items())
    parsed = parse(f"a:\n  environments:\n    {environment}:{lines}\n")
    assert not parsed.problems, parsed.problems
    return list(explain(parsed.apps[0], GITHUB)[0].warnings)


def test_what_is_deployed_where() -> None:
    staging, production = explain(parse(GOOD).apps[0], GITHUB)
    assert dict(staging.lines)["by itself"] == "main, once its checks are green"
    assert dict(staging.lines)["who may"] == "whoever may push to the repository"
    said = dict(production.lines)
    assert said["command"] == "fab -R {env} deploy:sha={sha}"
    assert said["task migrate"] == "fab migrate"
    assert said["who may"] == "ana, team ops, renovate[bot]"
    assert said["after"] == "the checks ci, build; waits for them at most 60 min"
    assert said["which commits"] == "those on main"
    assert said["ends"] == "after 30 min at most, or 10 min without output; 30 s between TERM and KILL"
    assert said["runs on"] == "a runner with the labels prod"
    assert said["secrets"] == "KEY; the runner has their values"
    assert staging.warnings == ()


@pytest.mark.parametrize(
    ("environment", "keys", "said"),
    [
        ("staging", {"deploy": "make deploy"}, "names neither {sha} nor $KEDGE_SHA"),
        ("staging", {"checks": "[]"}, "lets red commits through"),
        ("production", {"auto": "{branch: main}"}, "deployed by itself whenever main moves"),
        ("live-eu", {}, "a commit of any branch"),
        ("staging", {"auto": "{branch: main}", "refs": "[release]"}, "every automatic deploy is refused"),
        ("staging", {"runner": "[eu]"}, "no runner is asked here"),
    ],
)
def test_what_is_doubtful(environment: str, keys: dict[str, str], said: str) -> None:
    [warning] = warnings(environment, **keys)
    assert said in warning


@pytest.mark.parametrize("command", ["x {sha}", "x $KEDGE_SHA", "x {ref}"])
def test_nothing_is_doubtful(command: str) -> None:
    assert warnings("staging", deploy=f"'{command}'") == []


def test_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "apps.yml"
    path.write_text(GOOD.replace("[main]", "[]").replace("{sha}", "{SHA}"))
    assert main(["check-config", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["apps"][0]["environments"]] == ["staging", "production"]
    assert [(one["line"], one["path"]) for one in found["warnings"]] == [
        (4, "sentry.deploy"),
        (8, "sentry.environments.production"),
    ]


@pytest.mark.parametrize(
    ("keys", "who", "after"),
    [
        ("", "whoever has a token with the scope deploy", "nothing: the host of its code knows of no checks"),
        ("allow: {users: [ana]}", "ana", "nothing: the host of its code knows of no checks"),
        (
            "checks_command: ./checks",
            "whoever has a token with the scope deploy",
            "every check that the commit has; waits for them at most 60 min",
        ),
    ],
)
def test_a_host_that_knows_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str, who: str, after: str
) -> None:
    path = tmp_path / "apps.yml"
    path.write_text(f"a:\n  via: git\n  repository: git@h.example:o/a.git\n  deploy: x {{sha}}\n  {keys}\n")
    assert main(["check-config", str(path), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["apps"][0]["environments"]
    assert (found["who_may"], found["after"]) == (who, after)


def test_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/kedge.yml").write_text(GOOD.replace("{sha}", "{SHA}"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEDGE_APPS", raising=False)
    assert main(["check-config", "--no-json"]) == 0
    out = capsys.readouterr().out
    assert "sentry from getsentry/sentry, via github" in out
    assert "warning: .github/kedge.yml:4: sentry.deploy: {SHA} is no variable" in out
    monkeypatch.setenv("KEDGE_APPS", "b: {deploy: 'x {sha}'}")
    assert main(["check-config", "--no-json"]) == 0
    assert "b from the only installed repository called b" in capsys.readouterr().out, "KEDGE_APPS goes first"


def test_every_problem_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "apps.yml"
    path.write_text("a:\n  deploy: x\n  timeot: 3m\n  environments:\n    b: {checks: ci}\n")
    assert main(["check-config", str(path)]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert [line.partition(": ")[0] for line in seen.err.splitlines()] == [f"{path}:3", f"{path}:5"]


def test_a_room_where_there_is_no_slack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "apps.yml"
    path.write_text("a:\n  deploy: x {sha}\n  notify: {slack: ['#deploys']}\n")
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    monkeypatch.delenv("SLACK_WEBHOOK_URL", raising=False)
    assert main(["check-config", str(path), "--no-json"]) == 0
    assert "warning: " in (said := capsys.readouterr().out) and "nobody hears it in #deploys" in said
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    assert main(["check-config", str(path), "--no-json"]) == 0
    assert "nobody hears" not in (said := capsys.readouterr().out) and "Slack: #deploys" in said


def test_no_config(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEDGE_APPS", raising=False)
    assert main(["check-config"]) == 2
    assert "name a file" in capsys.readouterr().err
    assert main(["check-config", "nowhere.yml"]) == 2
    assert "cannot be read (No such file or directory)" in capsys.readouterr().err
