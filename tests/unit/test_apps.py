"""The application config: what a text means, and how whatever is wrong with it is named."""

import json
import textwrap
from dataclasses import fields

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ghapp.apps import Parsed, parse
from ghapp.config_values import MAX_ITEMS, READERS
from ghapp.core.config import Allow, AppConfig, Auto, EnvironmentConfig, Notify
from ghapp.marked_yaml import MAX_CHARACTERS

EXAMPLE = """\
sentry:                             # a key owner/name means app `name` of that repository
  via: github
  repository: getsentry/sentry
  deploy: "fab -R {env} deploy:sha={sha}"
  environments:
    staging:
      aliases: [stg]
      auto: {branch: main, after: checks}
    production:
      checks: [ci/circleci, build]
      checks_timeout: 1h
      refs: [main, "release/*"]
      allow: {users: [ana, "renovate[bot]"], teams: [ops, getsentry/sre]}
      timeout: 30m
      silence: 10m
      grace: 30s
      log_limit: 1GiB
      url: https://sentry.io
      env: {REGION: eu-1}
      secrets: [DEPLOY_KEY]
      runner: [prod]
  tasks: {migrate: "fab -R {env} migrate:sha={sha}"}
  notify: {slack: "#deploys", pull_request: true}
"""


def good(text: str) -> tuple[AppConfig, ...]:
    parsed = parse(textwrap.dedent(text))
    assert [str(problem) for problem in parsed.problems] == []
    return parsed.apps


def only(text: str) -> EnvironmentConfig:
    """The one environment of the one app."""
    (app,) = good(text)
    (environment,) = app.environments
    return environment


def wrong(text: str) -> list[tuple[int, str]]:
    """Line and path of every problem."""
    return [(problem.line, problem.path) for problem in parse(textwrap.dedent(text)).problems]


def sole_problem(text: str) -> str:
    (problem,) = parse(textwrap.dedent(text)).problems
    return str(problem)


def test_the_whole_form_is_understood() -> None:
    migrate = {"migrate": "fab -R {env} migrate:sha={sha}"}
    notify = Notify("#deploys", pull_request=True)
    deploy = "fab -R {env} deploy:sha={sha}"
    assert good(EXAMPLE) == (
        AppConfig(
            "sentry",
            "github",
            "getsentry/sentry",
            (
                EnvironmentConfig(
                    "staging", deploy, aliases=("stg",), tasks=migrate, auto=Auto("main", "checks"), notify=notify
                ),
                EnvironmentConfig(
                    "production",
                    deploy,
                    tasks=migrate,
                    checks=("ci/circleci", "build"),
                    checks_timeout_s=3600,
                    refs=("main", "release/*"),
                    allow=Allow(("ana", "renovate[bot]"), ("ops", "getsentry/sre")),
                    timeout_s=1800,
                    silence_s=600,
                    grace_s=30,
                    log_limit=2**30,
                    url="https://sentry.io",
                    env={"REGION": "eu-1"},
                    secrets=("DEPLOY_KEY",),
                    runner=("prod",),
                    notify=notify,
                ),
            ),
            line=1,
        ),
    )
    assert parse(EXAMPLE).warnings == ()


def test_what_is_read_can_be_stored_with_a_deploy() -> None:
    for environment in good(EXAMPLE)[0].environments:
        assert msgspec.json.decode(msgspec.json.encode(environment), type=EnvironmentConfig) == environment


def test_one_line_of_json_is_complete() -> None:
    (app,) = good('{"sentry": {"deploy": "fab -R {env} deploy:sha={sha}", "via": "github"}}')
    assert (app.name, app.via, app.repository) == ("sentry", "github", None)
    assert app.environments == (EnvironmentConfig("production", "fab -R {env} deploy:sha={sha}"),)


def test_json_may_be_indented_with_tabs_and_escape_what_it_likes() -> None:
    text = json.dumps({"a": {"deploy": "echo \U0001f680\t/ é\n", "env": {"X": "1"}}}, indent="\t")
    assert "\\ud83d\\ude80" in text
    assert only(text.replace("/", "\\/")).deploy == "echo \U0001f680\t/ é\n"


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    assert good("\ufeff" + EXAMPLE.replace("\n", "\r\n")) == good(EXAMPLE)


def test_a_key_may_be_the_repository() -> None:
    (app,) = good("getsentry/sentry: {deploy: x}")
    assert (app.name, app.repository) == ("sentry", "getsentry/sentry")


def test_environments_may_be_a_list_of_names() -> None:
    (app,) = good("a: {deploy: x, timeout: 5, environments: [staging, production]}")
    assert [(each.name, each.timeout_s) for each in app.environments] == [("staging", 5), ("production", 5)]


def test_an_environment_may_say_nothing_of_its_own() -> None:
    (app,) = good("a:\n  deploy: x\n  environments:\n    staging:\n    production: {}\n")
    assert [each.name for each in app.environments] == ["staging", "production"]


def test_an_environment_overrides_its_app() -> None:
    first, second = good("""
        a:
          deploy: app
          checks: [build]
          timeout: 5
          allow: {users: [ana]}
          env: {A: app, B: app}
          tasks: {one: app, two: app}
          notify: {slack: "#app", pull_request: true}
          environments:
            as-it-is: {}
            other:
              deploy: own
              checks: []
              allow: {teams: [ops]}
              env: {B: own, C: own}
              tasks: {two: own}
              notify: {slack: "#own"}
    """)[0].environments
    assert (first.deploy, first.checks, first.env) == ("app", ("build",), {"A": "app", "B": "app"})
    assert (second.deploy, second.checks, second.timeout_s) == ("own", (), 5)
    assert second.allow == Allow(teams=("ops",)), "people of the app are not added to those of the environment"
    assert second.env == {"A": "app", "B": "own", "C": "own"}
    assert second.tasks == {"one": "app", "two": "own"}
    assert second.notify == Notify("#own", pull_request=True)
    assert (first.notify.rooms, Notify().rooms) == (("#app",), ())


def test_one_room_or_several() -> None:
    (app,) = good('a: {deploy: x, notify: {slack: ["#a", C024BE91L]}}')
    assert app.environments[0].notify.rooms == ("#a", "C024BE91L")
    assert sole_problem('a: {deploy: x, notify: {slack: ["#a", 1]}}')


def test_a_command_may_stand_in_the_environments_alone() -> None:
    (app,) = good("a: {environments: {staging: {deploy: x}, production: {deploy: y}}}")
    assert [each.deploy for each in app.environments] == ["x", "y"]


def test_checks_absent_and_checks_empty_are_two_things() -> None:
    assert only("a: {deploy: x}").checks is None
    assert only("a: {deploy: x, checks: []}").checks == ()


@pytest.mark.parametrize("via", ["github", "acme_kedge.forge:Forge", "forge:Forge"])
def test_providers_are_known_or_named_by_their_class(via: str) -> None:
    assert good(f"a: {{deploy: x, via: {via}}}")[0].via == via


def test_another_provider_names_its_repositories_as_it_likes() -> None:
    assert good("a: {deploy: x, via: 'm:C', repository: /srv/git/a.git}")[0].repository == "/srv/git/a.git"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("10m", 600), ("1h", 3600), ("2d", 172_800), ("7d", 604_800), ("45", 45), ('"45"', 45)],
)
def test_durations(written: str, seconds: int) -> None:
    assert only(f"a: {{deploy: x, timeout: {written}}}").timeout_s == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("1GiB", 2**30), ("500MB", 500_000_000), ("100KiB", 102_400), ("12B", 12), ("1000", 1000), ("1024GiB", 2**40)],
)
def test_sizes(written: str, size: int) -> None:
    assert only(f"a: {{deploy: x, log_limit: {written}}}").log_limit == size


@pytest.mark.parametrize(
    ("key", "written"),
    [(key, written) for key in ("timeout", "silence", "grace", "checks_timeout")
     for written in ("0", "0s", "8d", "604801", "-5", "1.5h", "1h30m", "1:30", "010", "1_000", "0x10", "1e3", "10 m",
                     "10M", "on", "[]", "{}", "~", '""', "99999999999999999999", "٣s")]
    + [("log_limit", written) for written in ("0", "0B", "1025GiB", "1TB", "1gib", "1 GiB", "-1", "1.5GiB", "~", "[]")],
)  # fmt: skip
def test_durations_and_sizes_out_of_form_or_bounds(key: str, written: str) -> None:
    assert wrong(f"a:\n  deploy: x\n  {key}: {written}\n") == [(3, f"a.{key}")]


@pytest.mark.parametrize("name", ["a", "0", "a.b-c_d", "a" * 63])
def test_names_of_apps(name: str) -> None:
    assert good(f"'{name}': {{deploy: x}}")[0].name == name


@pytest.mark.parametrize("name", ["A", "-a", ".a", "a" * 64, "a b", "a/", "/a", "a/b/c", "ä", "", "a\\nb", "a/B"])
def test_names_no_app_can_have(name: str) -> None:
    (problem,) = parse(f'"{name}": {{deploy: x}}').problems
    assert "[a-z0-9][a-z0-9._-]{0,62}" in problem.message
    assert str(problem).isprintable()


def test_a_repository_in_capitals_is_told_the_way_on() -> None:
    assert "write sentry: {repository: getsentry/Sentry}" in sole_problem("getsentry/Sentry: {deploy: x}")


@pytest.mark.parametrize("name", ["staging", "eu-1.prod_x", "Production", "1", "a" * 63])
def test_names_of_environments(name: str) -> None:
    (app,) = good(f"a: {{deploy: x, environments: {{'{name}': {{aliases: ['x{name[1:]}']}}}}}}")
    assert app.environment(name) is not None


@pytest.mark.parametrize("name", ["-a", ".a", "a b", "a/b", "a" * 64, "ä", "", "$(id)", "a;b", "a\\n"])
@pytest.mark.parametrize(
    "place", ["environments: {%s: {}}", "environments: [%s]", "environments: {x: {aliases: [%s]}}", "runner: [%s]"]
)
def test_names_no_environment_and_no_label_can_have(name: str, place: str) -> None:
    assert len(wrong("a: {deploy: x, " + place % f'"{name}"' + "}")) == 1


@pytest.mark.parametrize(
    "value",
    ["tasks: {'a b': x}", "tasks: {Migrate: x}", "tasks: {1a: x}", "tasks: {'': x}", "tasks: {deploy: x}",
     "tasks: {a: ''}", "tasks: [a]", "env: {KEDGE_REF: x}", "env: {1A: x}", "env: {'A B': x}", "env: {'A=': x}",
     "env: [A]", "secrets: [KEDGE_RUNNER_TOKEN]", "secrets: ['A-B']", "secrets: {A: x}", "secrets: [A, A]",
     "allow: {users: ['@ana']}", "allow: {users: ana}", "allow: {users: ['a b']}", "allow: {teams: [a/b/c]}",
     "allow: {teams: ['@a/b']}", "allow: {}", "allow: {users: []}", "allow: {users: [], teams: []}", "allow: [ana]",
     "auto: {branch: main, after: green}", "auto: {after: push}", "auto: main", "auto: {}", "auto: {branch: ''}",
     "notify: {slack: ~}", "notify: {pull_request: 1}", "notify: {pull_request: 'true'}", "notify: yes",
     "checks: build", "checks: [build, build]", "checks: ['']", "checks: [1]", "checks: ~", "checks: [\"a\\nb\"]",
     "refs: main", "url: sentry.io", "url: 'ftp://x'", "url: 'https://'", "url: 'javascript:alert(1)'",
     "url: 'https://a b'", "via: gitlab", "via: 'a.b'", "via: [github]", "repository: sentry", "repository: a/b/c",
     "repository: 'https://github.com/a/b'", "repository: 'a/b;c'", "environments: production", "environments: []",
     "environments: {}", "environments: ~", "environments: [[a]]", "environments: {a: x}", "environments: {a: []}",
     "environments: {a: {via: github}}", "environments: {a: {repository: x/y}}",
     "environments: {a: {environments: [b]}}",
     "aliases: [x]", "nonsense: 1"],
)  # fmt: skip
def test_each_wrong_value_is_one_problem_on_its_line(value: str) -> None:
    ((line, path),) = wrong(f"a:\n  deploy: x\n  {value}\n")
    assert line == 3
    assert path.startswith("a." + value.partition(":")[0])


@pytest.mark.parametrize(
    ("value", "read_as"),
    [("on", "a boolean"), ("no", "a boolean"), ("1", "a whole number"), ("1.5", "a number"), ("010", "a whole number"),
     ("2026-11-23", "a date"), ("1:30", "a whole number"), (".inf", "a number")],
)  # fmt: skip
@pytest.mark.parametrize("place", ["env: {A: %s}", "tasks: {a: %s}", "checks: [%s]", "environments: [%s]", "via: %s"])
def test_what_yaml_takes_for_something_else_must_be_quoted(place: str, value: str, read_as: str) -> None:
    said = sole_problem("a: {deploy: x, " + place % value + "}")
    assert f"YAML reads it as {read_as}; quote it" in said


def test_a_value_of_env_is_never_repeated_in_a_message() -> None:
    """It may be confidential, and problems are shown where anybody may look."""
    assert "47110815" not in sole_problem("a: {deploy: x, env: {PIN: 47110815}}")
    assert only("a: {deploy: x, env: {PIN: '47110815'}}").env == {"PIN": "47110815"}


@pytest.mark.parametrize("value", ["1e3", "0o14", "1.2.3", "a1", "=", "<<", "''", '"  "'])
def test_what_yaml_takes_for_text_is_text(value: str) -> None:
    assert list(only(f"a: {{deploy: x, env: {{A: {value}}}}}").env.values()) == [value.strip("'\"")]


@pytest.mark.parametrize(("key", "read_as"), [("on", "a boolean"), ("1", "a whole number"), ("2026-11-23", "a date")])
def test_a_key_yaml_takes_for_something_else_must_be_quoted(key: str, read_as: str) -> None:
    said = sole_problem(f"a:\n  deploy: x\n  environments:\n    {key}: {{}}\n")
    assert f'line 4: a.environments.{key}: YAML reads the key {key} as {read_as}; quote it: "{key}"' in said


def test_a_comment_by_mistake_is_explained() -> None:
    said = sole_problem("a:\n  deploy: x\n  notify:\n    slack: #deploys\n")
    assert said.startswith("line 4: a.notify.slack: has no value")
    assert "# needs quotes" in said


def test_every_problem_is_named_at_once() -> None:
    text = """\
        a:
          deploy: 1
          timeot: 3m
          environments:
            staging:
              auto: {brnch: main}
              silence: forever
            production:
              env: {PORT: 80, KEDGE_X: y}
        B: {deploy: x}
        api: {}
    """
    assert wrong(text) == [
        (2, "a.deploy"),
        (3, "a.timeot"),
        (6, "a.environments.staging.auto.brnch"),
        (6, "a.environments.staging.auto"),
        (7, "a.environments.staging.silence"),
        (9, "a.environments.production.env.PORT"),
        (9, "a.environments.production.env.KEDGE_X"),
        (10, "B"),
        (11, "api"),
        (11, "api"),
    ]


def test_what_is_wrong_in_an_app_is_named_once_however_many_environments_inherit_it() -> None:
    assert wrong("a: {deploy: x, timeout: never, environments: [b, c, d]}") == [(1, "a.timeout")]


def test_a_wrong_value_makes_nothing_else_wrong() -> None:
    assert wrong("a: {deploy: x, timeout: 20x, silence: 2h}") == [(1, "a.timeout")]


@pytest.mark.parametrize(
    ("written", "meant"), [("timeot", "timeout"), ("enviroments", "environments"), ("check", "checks"), ("ref", "refs")]
)
def test_an_unknown_key_is_answered_with_the_nearest(written: str, meant: str) -> None:
    assert f"a.{written}: unknown key; did you mean `{meant}`?" in sole_problem(f"a: {{deploy: x, {written}: 1}}")


def test_an_unknown_key_without_a_near_one_is_answered_with_all() -> None:
    said = sole_problem("a: {deploy: x, qqqq: 1}")
    assert all(key in said for key in (*READERS, "via", "repository", "environments"))


def test_every_field_of_an_environment_has_its_key() -> None:
    derived = {"name", "defined_in"}
    named = {field.name.removesuffix("_s") for field in fields(EnvironmentConfig)} - derived
    assert named == {*READERS, "aliases"}


def test_a_missing_command_names_the_environments_that_lack_it() -> None:
    said = sole_problem("a:\n  environments: {staging: {deploy: x}, production: {}, eu: {}}\n")
    assert said.startswith("line 1: a: no `deploy` for production, eu")
    assert wrong("a: {}") == [(1, "a")]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "{}", "~", "---\n"])
def test_an_empty_document_defines_no_app(text: str) -> None:
    assert "defines no app" in sole_problem(text)


@pytest.mark.parametrize("text", ["[a]", "sentry", "1", "/etc/kedge/apps.yml"])
def test_a_document_must_be_a_mapping(text: str) -> None:
    assert "must be a mapping from app names" in sole_problem(text)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n  deploy: b: c\n", 2, "quote text that contains"),
        ("a:\n\tdeploy: x\n", 2, "indent with spaces"),
        ("a: {deploy: x\n", 2, "expected ',' or '}'"),
        ('a: {deploy: "x}\n', 2, "unexpected end"),
        ("a: {deploy: @x}\n", 1, "quote the text"),
        ("a: {deploy: x}\n---\nb: {deploy: y}\n", 2, "one document"),
        ("a: {deploy: *b}\n", 1, "undefined alias"),
        ("a:\n  deploy: \x07\n", 2, "control character"),
        ('a: {deploy: "\\UFFFFFFFF"}', 1, "out of range"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: {deploy: x}\n", 1, "out of range"),
    ],
)
def test_what_is_not_yaml_is_one_problem_with_its_line(text: str, line: int, said: str) -> None:
    (problem,) = parse(text).problems
    assert (problem.line, problem.path) == (line, "")
    assert said in problem.message


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system [x]", "!secret x", "!!binary eA==", "!x {a: b}"])
def test_tags_mean_nothing(value: str) -> None:
    assert "has a tag" in str(parse(f"a: {{deploy: {value}}}").problems[0])


@pytest.mark.parametrize("value", ['"a\\0b"', '"\\ud800"'])
def test_text_that_no_command_can_hold_is_refused(value: str) -> None:
    assert wrong(f"a: {{deploy: {value}}}") == [(1, "a.deploy")]


@pytest.mark.parametrize(
    "text",
    ["a: {deploy: x}\nb: {deploy: y}\na: {deploy: z}\n", "a:\n  deploy: x\n  deploy: y\n"],
)
def test_a_key_stands_once(text: str) -> None:
    (problem,) = parse(text).problems
    assert problem.line == 3
    assert problem.message.startswith("stands here twice (first on line ")


def test_an_app_stands_once_whichever_way_it_is_named() -> None:
    assert "also defined on line 1" in sole_problem("sentry: {deploy: x}\ngetsentry/sentry: {deploy: y}\n")


def test_a_key_and_a_repository_that_disagree() -> None:
    assert "the key already says a/b" in sole_problem("a/b: {deploy: x, repository: c/b}")


def test_names_of_paths_are_reserved() -> None:
    assert sole_problem("\napi: {deploy: x}").startswith("line 2: api: “api” is a reserved name")


def test_problems_between_values_stand_where_the_values_stand() -> None:
    text = """\
        a:
          deploy: x
          auto: {branch: main}
          environments:
            staging:
              checks: []
            production:
              timeout: 1m
              silence: 2m
            other:
              aliases:
                - x
                - Staging
    """
    assert wrong(text) == [
        (3, "a.auto"),
        (9, "a.environments.production.silence"),
        (11, "a.environments.other.aliases"),
    ]


def test_anchors_and_merge_keys_work() -> None:
    first, second, third = good("""
        a: &a
          deploy: x
          env: &env {A: a, B: a}
        b:
          <<: *a
          env: {<<: *env, B: b}
        c:
          <<: [{deploy: first}, *a]
    """)
    assert second.environments[0].env == {"A": "a", "B": "b"}
    assert (second.environments[0].deploy, third.environments[0].deploy) == ("x", "first")
    assert first.environments[0].env == third.environments[0].env == {"A": "a", "B": "a"}


@pytest.mark.parametrize("merged", ["x", "[x]", "~", "[[{}]]"])
def test_only_mappings_can_be_merged(merged: str) -> None:
    assert "<< must name a mapping" in sole_problem(f"a: {{deploy: x, <<: {merged}}}")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 10_000, "levels deep"),
        ("{a: " * 5_000, "levels deep"),
        ("- " * 10_000, "levels deep"),
        ("? " * 10_000, "levels deep"),
        ("a0: &a0 {deploy: x}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 500)), "levels deep"),
        (BOMB, "all aliases written out"),
        ("a: {tasks: {a: &c '" + "x" * 50_000 + "', " + ", ".join(f"b{n}: *c" for n in range(100)) + "}}", "aliases"),
        ("a: &a {deploy: x, env: *a}", "an alias within what it stands for"),
        ("a: &a [*a]", "an alias within what it stands for"),
        ("#" * (MAX_CHARACTERS + 1), "longer than"),
    ],
    ids=lambda value: value[:20],
)
def test_what_would_blow_up_is_refused(text: str, said: str) -> None:
    assert said in sole_problem(text)


def test_lists_and_mappings_are_bounded() -> None:
    for value in ("checks: [{}]", "env: {{{}}}", "environments: [{}]", "environments: {{{}}}"):
        entry = "a{}: ''" if ": {{" in value and "env:" in value else "a{}: {{}}" if ": {{" in value else "a{}"
        entries = ", ".join(entry.format(n) for n in range(MAX_ITEMS + 1))
        assert f"more than {MAX_ITEMS} entries" in sole_problem("a: {deploy: x, " + value.format(entries) + "}")


def test_near_misses_of_variables_are_doubtful() -> None:
    parsed = parse("a:\n  deploy: 'x {enviroment}'\n  tasks: {m: 'y {SHA} ${HOME} {sha}'}\n")
    assert parsed.problems == ()
    assert [(warning.line, warning.path) for warning in parsed.warnings] == [(2, "a.deploy"), (3, "a.tasks.m")]
    assert "did you mean {env}?" in parsed.warnings[0].message


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a: {deploy: x, secrets: [K]}", ["a"]),
        ("a: {deploy: x, secrets: [K], refs: [main]}", []),
        ("a: {deploy: x, refs: [main], environments: {b: {secrets: [K]}}}", []),
        ("a: {deploy: x, environments: {b: {secrets: [K]}, c: {}}}", ["a.environments.b"]),
    ],
)
def test_secrets_without_refs_are_doubtful(text: str, places: list[str]) -> None:
    assert [warning.path for warning in parse(text).warnings] == places


def test_no_message_holds_what_no_terminal_should_see() -> None:
    parsed = parse('"\\e[31m": {deploy: x, "\\e[0m": 1, runner: ["\\e[1m"], environments: {"a\\nb": {}}}')
    assert len(parsed.problems) == 4
    assert all(str(problem).isprintable() for problem in parsed.problems)


def test_a_long_key_is_cut_in_messages() -> None:
    assert all(len(str(problem)) < 500 for problem in parse("a: {deploy: x, " + "k" * 900 + ": 1}").problems)


keys = st.sampled_from(
    [*READERS, "aliases", "via", "repository", "environments", "branch", "users", "slack", "staging"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["1h", "main", "a/b", "x y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


def _holds(parsed: Parsed) -> None:
    """What must be so whatever the text: a place in every finding, and no app without a name and a command."""
    assert parsed.apps or parsed.problems
    assert all(problem.line >= 1 and problem.message for problem in (*parsed.problems, *parsed.warnings))
    if not parsed.problems:
        assert all(each.deploy and each.name for app in parsed.apps for each in app.environments)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b/c", "api"]), st.dictionaries(keys, json_values, max_size=5)))
def test_any_json_is_answered(config: dict[str, object]) -> None:
    _holds(parse(json.dumps(config)))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="a:{}[]&*<>!?-|\"'#%@`, \n\t", max_size=60))
@example("a: &a\n  <<: *a\n")
@example("? ? a")
@example("!!set {a, b}")
def test_any_text_is_answered(text: str) -> None:
    _holds(parse(text))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(max_size=20)))
def test_any_value_of_env_survives(env: dict[str, str]) -> None:
    env = {name: value for name, value in env.items() if "\0" not in value and not name.startswith("KEDGE_")}
    config = {"a": {"deploy": "x", "env": env}}
    assert only(json.dumps(config)).env == env
    assert only(yaml.safe_dump(config, allow_unicode=False)).env == env


def test_heroku_in_the_place_of_a_command_the_nearer_one_counts() -> None:
    parsed = parse(
        "a: {deploy: x, environments: {staging: {heroku: {app: a-staging}}, production: {}}}\n"
        "b: {heroku: {app: b-all}, environments: {staging: {deploy: y}, production: {}}}\n"
    )
    assert parsed.problems == ()
    said = [(one.deploy, one.heroku) for app in parsed.apps for one in app.environments]
    assert said == [("", "a-staging"), ("x", None), ("y", None), ("", "b-all")]
    assert sole_problem("a: {deploy: x, heroku: {app: abc}}").endswith("one of the two deploys it, leave one")
    assert "write heroku: {app: NAME}" in sole_problem("a: {heroku: {}}")
    assert "3 to 30 lower-case letters" in sole_problem("a: {heroku: {app: A_b}}")
