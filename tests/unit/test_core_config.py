"""Config values: what they answer, what is wrong between them, and that they can be stored with a deploy."""

from typing import Any

import msgspec
import pytest

from ghapp.core.config import RESERVED_NAMES, Allow, AppConfig, Auto, EnvironmentConfig, Notify, Problem, cross_check

FULL = EnvironmentConfig(
    name="production",
    deploy="fab -R {env} deploy:sha={sha}",
    aliases=("prod", "live"),
    tasks={"migrate": "fab migrate"},
    auto=Auto("main", "push"),
    checks=("ci/circleci", "build"),
    checks_timeout_s=60,
    refs=("main", "release/*"),
    allow=Allow(("ana",), ("ops", "getsentry/sre")),
    timeout_s=600,
    silence_s=30,
    grace_s=5,
    log_limit=1000,
    url="https://sentry.io",
    env={"REGION": "eu-1"},
    secrets=("DEPLOY_KEY",),
    runner=("prod",),
    notify=Notify("#deploys", pull_request=True),
)


def app(*environments: EnvironmentConfig, name: str = "sentry", line: int = 3) -> AppConfig:
    return AppConfig(name, "github", "getsentry/sentry", environments, line)


def environment(name: str = "production", **values: Any) -> EnvironmentConfig:
    return EnvironmentConfig(name, **{"deploy": "make deploy", **values})


@pytest.mark.parametrize("name", ["production", "Production", "PROD", "live"])
def test_an_environment_is_found_by_name_or_alias_whatever_the_case(name: str) -> None:
    assert app(environment("staging"), FULL).environment(name) is FULL


@pytest.mark.parametrize("name", ["", "prod ", "productio", "sentry"])
def test_an_environment_is_not_found_by_anything_else(name: str) -> None:
    assert app(FULL).environment(name) is None


def test_a_task_has_the_command_the_config_names() -> None:
    assert FULL.command("deploy") == "fab -R {env} deploy:sha={sha}"
    assert FULL.command("migrate") == "fab migrate"
    assert FULL.command("Migrate") is None
    assert FULL.task_names == ("deploy", "migrate")


@pytest.mark.parametrize("checks", [None, (), ("build",)])
def test_it_is_stored_as_json_and_read_back_the_same(checks: tuple[str, ...] | None) -> None:
    for each in (environment(checks=checks), FULL):
        stored = msgspec.json.encode(each)
        assert msgspec.json.decode(stored, type=EnvironmentConfig) == each
        assert msgspec.convert(msgspec.to_builtins(each), type=EnvironmentConfig) == each


def test_a_config_without_faults_has_no_problems() -> None:
    assert cross_check((app(FULL, environment("staging", aliases=("stg",))), app(FULL, name="relay"))) == []


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_names_of_paths_are_reserved(name: str) -> None:
    (problem,) = cross_check((app(FULL, name=name),))
    assert (problem.path, problem.line) == (name, 3)
    assert "reserved" in problem.message


def test_reserved_are_the_first_parts_of_all_paths() -> None:
    assert {"api", "apps", "openapi.json", "healthz", "webhooks", "setup", "static", "login"} <= RESERVED_NAMES
    assert len(RESERVED_NAMES) == 19


def test_app_names_are_unique() -> None:
    (problem,) = cross_check((app(FULL, line=1), app(FULL, name="relay", line=5), app(FULL, line=9)))
    assert problem == Problem("sentry", 9, "also defined on line 1; names are unique, choose another")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (environment("staging"), environment("Staging")),
        (environment("staging"), environment("production", aliases=("STAGING",))),
        (environment("staging", aliases=("production",)), environment("production")),
        (environment("staging", aliases=("s",)), environment("production", aliases=("S",))),
    ],
)
def test_a_name_stands_for_one_environment(first: EnvironmentConfig, second: EnvironmentConfig) -> None:
    (problem,) = cross_check((app(first, second),))
    assert "already stands for" in problem.message


def test_an_alias_may_repeat_its_own_environment() -> None:
    assert cross_check((app(environment("staging", aliases=("Staging",))),)) == []


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"auto": Auto("main", "checks"), "checks": ()}, "auto", "after: push"),
        ({"timeout_s": 60, "silence_s": 61}, "silence", "longer than timeout"),
        ({"env": {"A": "x", "B": "y"}, "secrets": ("B",)}, "secrets", "B stands under `env` too"),
    ],
)
def test_impossible_combinations_are_found_where_they_stand(values: dict[str, Any], key: str, said: str) -> None:
    config = app(environment("staging"), environment(**values))
    (problem,) = cross_check((config,))
    assert (problem.path, problem.line) == (f"sentry.environments.production.{key}", 3)
    assert said in problem.message
    (placed,) = cross_check((config,), {("sentry", "production", key): (f"sentry.{key}", 17)})
    assert (placed.path, placed.line) == (f"sentry.{key}", 17)


@pytest.mark.parametrize(
    "values",
    [
        {"auto": Auto("main", "push"), "checks": ()},
        {"auto": Auto("main", "checks"), "checks": None},
        {"timeout_s": 60, "silence_s": 60},
    ],
)
def test_possible_combinations_are_left_alone(values: dict[str, Any]) -> None:
    assert cross_check((app(environment(**values)),)) == []


def test_a_problem_is_one_line_with_its_place() -> None:
    assert str(Problem("sentry.timeout", 4, "is wrong")) == "line 4: sentry.timeout: is wrong"
    assert str(Problem("", 1, "defines no app")) == "line 1: defines no app"
