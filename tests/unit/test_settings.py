"""Settings of app and runner: what variables mean, and that every problem is named at once without a secret in it."""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from ghapp import config, credentials
from ghapp.__main__ import main
from ghapp.apps import parse
from ghapp.config import Settings
from ghapp.config_github import GitHubHost
from ghapp.config_slack import SlackSettings
from ghapp.core.settings import Environment, Network, Setting, SettingsError, help_text, in_clear, markdown_table
from ghapp.credentials import Credentials
from runner import config as runner_config

ADMIN, RUNNER = "admin-token-of-24-chars-or-more", "runner-token-of-24-chars-or-more"
KEY = "k" * 32
APPS = "sentry: {deploy: make deploy}"
FOREIGN = "sentry: {deploy: make deploy, via: 'tests.whole_provider:WholeProvider'}"


@cache
def pem(bits: int = 2048) -> str:
    return _text(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def _text(key: Any, encryption: KeySerializationEncryption | None = None) -> str:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption or NoEncryption())
    return data.decode()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """All that ``serve`` requires, with an app via GitHub."""
    return {
        "HOME": str(tmp_path / "home"),
        "KEDGE_DATA": str(tmp_path / "data"),
        "KEDGE_APPS": APPS,
        "KEDGE_ADMIN_TOKEN": ADMIN,
        "KEDGE_RUNNER_TOKEN": RUNNER,
        "GITHUB_APP_ID": "4711",
        "GITHUB_PRIVATE_KEY": pem(),
        "GITHUB_WEBHOOK_SECRET": "hook-secret",
    }


@pytest.fixture
def foreign(tmp_path: Path) -> dict[str, str]:
    """All that ``serve`` requires where no app is via GitHub."""
    return {
        "HOME": str(tmp_path / "home"),
        "KEDGE_APPS": FOREIGN,
        "KEDGE_ADMIN_TOKEN": ADMIN,
        "KEDGE_RUNNER_TOKEN": RUNNER,
        "KEDGE_SECRET_KEY": KEY,
    }


@pytest.fixture
def runner_environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "KEDGE_URL": "https://kedge.example.com/", "KEDGE_RUNNER_TOKEN": RUNNER}


def problems(environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        config.load(environ)
    return refused.value.problems


def sole_problem(environ: Mapping[str, str], **changed: str) -> str:
    (problem,) = problems({**environ, **changed})
    return problem


def runner_problem(environ: Mapping[str, str], **changed: str) -> str:
    with pytest.raises(SettingsError) as refused:
        runner_config.load({**environ, **changed})
    (problem,) = refused.value.problems
    return problem


# The app


def test_the_least_there_can_be(foreign: dict[str, str], tmp_path: Path) -> None:
    data = tmp_path / "home/.local/share/kedge"
    assert config.load(foreign) == Settings(
        host="127.0.0.1",
        port=8000,
        url="http://127.0.0.1:8000",
        data=data,
        database_url=f"sqlite:///{data}/kedge.sqlite",
        apps_path=None,
        apps_text=FOREIGN,
        accounts=(),
        secret_keys=(KEY,),
        admin_token=ADMIN,
        runner_token=RUNNER,
        anonymous_read=False,
        inbound="webhooks",
        github=None,
        network=Network(),
    )
    assert not data.exists(), "nothing to keep, nothing made"


def test_everything_said(environ: dict[str, str], tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    settings = config.load(
        {
            **environ,
            "PORT": "8080",
            "KEDGE_HOST": "0.0.0.0",
            "KEDGE_URL": "https://example.com/kedge/",
            "DATABASE_URL": "postgres://u:p@db/kedge",
            "KEDGE_ACCOUNTS": "getsentry, octo_acme,,getsentry",
            "KEDGE_SECRET_KEY": f"{KEY}new,{KEY}old",
            "KEDGE_ANONYMOUS_READ": "1",
            "GITHUB_WEBHOOK_SECRET": "new, old",
            "GITHUB_API_URL": "https://ghe.example.com/api/v3/",
            "HTTPS_PROXY": "http://user:pass@proxy:3128",
            "NO_PROXY": "localhost,.internal",
            "SSL_CERT_FILE": str(ca),
        }
    )
    assert (settings.host, settings.port, settings.url) == ("0.0.0.0", 8080, "https://example.com/kedge")
    assert settings.database_url == "postgres://u:p@db/kedge"
    assert settings.accounts == ("getsentry", "octo_acme")
    assert settings.secret_keys == (KEY + "new", KEY + "old")
    assert settings.anonymous_read
    assert settings.github
    assert settings.github.app_id == 4711
    assert settings.github.webhook_secrets == ("new", "old")
    assert settings.github.api_url == "https://ghe.example.com/api/v3"
    assert settings.github.web_url == "https://ghe.example.com"
    assert settings.network.environment() == {
        "HTTPS_PROXY": "http://user:pass@proxy:3128",
        "NO_PROXY": "localhost,.internal",
        "SSL_CERT_FILE": str(ca),
    }
    assert settings.warnings == ()


def test_all_that_is_missing_is_named_at_once() -> None:
    assert [problem.split()[0] for problem in problems({})] == [
        "KEDGE_APPS",
        "KEDGE_ADMIN_TOKEN",
        "KEDGE_RUNNER_TOKEN",
    ]


def test_all_that_is_wrong_is_named_at_once_with_its_place(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "apps.yml"
    path.write_text("sentry:\n  deploy: x\n  timeot: 3\n  environments:\n    staging: {checks: all}\n")
    found = problems(
        {
            **environ,
            "PORT": "web",
            "KEDGE_APPS": str(path),
            "KEDGE_INBOUND": "poll",
            "GITHUB_APP_ID": "Iv1",
            "KEDGE_ADMIN_TOKEN": "short",
        }
    )
    assert [problem.partition(" must")[0].removesuffix(":") for problem in found] == [
        "PORT",
        "KEDGE_INBOUND",
        f"KEDGE_APPS ({path}): line 3: sentry.timeot: unknown key; did you mean `timeout`?",
        f"KEDGE_APPS ({path}): line 5: sentry.environments.staging.checks",
        "KEDGE_ADMIN_TOKEN",
        "GITHUB_APP_ID",
    ]
    assert not (tmp_path / "data").exists(), "a start that fails leaves nothing behind"


def test_a_variable_that_is_empty_is_not_set(foreign: dict[str, str]) -> None:
    empty = {each.name: "" for each in config.SETTINGS if each.name not in foreign}
    assert config.load({**foreign, **empty}) == config.load(foreign)
    assert len(problems({**foreign, "KEDGE_APPS": " ", "KEDGE_ADMIN_TOKEN": ""})) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "８０"),
        ("PORT", "9" * 5000),
        ("KEDGE_HOST", "http://0.0.0.0"),
        ("KEDGE_HOST", "a b"),
        ("KEDGE_URL", "kedge.example.com"),
        ("KEDGE_URL", "ftp://kedge.example.com"),
        ("KEDGE_URL", "https://user:pass@kedge.example.com"),
        ("KEDGE_URL", "https://kedge.example.com?a=b"),
        ("KEDGE_URL", "https://kedge.example.com/#a"),
        ("KEDGE_URL", "https://"),
        ("KEDGE_URL", "https://host:99999"),
        ("KEDGE_URL", "https://[::1"),
        ("DATABASE_URL", "mysql://u:hidden@db/kedge"),
        ("DATABASE_URL", "postgres://"),
        ("DATABASE_URL", "/var/lib/kedge.sqlite"),
        ("DATABASE_URL", "sqlite://kedge.sqlite"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:////var/lib/"),
        ("DATABASE_URL", "sqlite:///a?mode=ro"),
        ("KEDGE_ACCOUNTS", "getsentry,@octo"),
        ("KEDGE_SECRET_KEY", "k" * 31),
        ("KEDGE_SECRET_KEY", f"{KEY},short"),
        ("KEDGE_ADMIN_TOKEN", "t" * 23),
        ("KEDGE_ADMIN_TOKEN", "t" * 24 + " t"),
        ("KEDGE_ADMIN_TOKEN", "t" * 24 + "\x7f"),
        ("KEDGE_RUNNER_TOKEN", "t" * 23 + "é"),
        ("KEDGE_ANONYMOUS_READ", "maybe"),
        ("KEDGE_INBOUND", "Webhooks"),
        ("GITHUB_APP_ID", "0"),
        ("GITHUB_API_URL", "api.github.com"),
        ("GITHUB_WEB_URL", "github.com"),
        ("HTTPS_PROXY", "proxy:3128"),
        ("HTTPS_PROXY", "socks5://hidden:hidden@proxy:1080"),
        ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
    ],
)
def test_each_wrong_value_is_one_problem_that_names_its_variable(
    environ: dict[str, str], foreign: dict[str, str], name: str, value: str
) -> None:
    said = sole_problem(environ if name.startswith("GITHUB_") else foreign, **{name: value})
    assert said.startswith(name)
    assert said.endswith(".") or said.endswith("prints a good one.")
    assert "hidden" not in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", "sqlite:///kedge.sqlite"), ("DATABASE_URL", "sqlite:////var/lib/kedge.sqlite"),
     ("DATABASE_URL", "postgresql:///kedge?host=/run/pg"), ("KEDGE_ANONYMOUS_READ", "false"), ("PORT", "65535"),
     ("KEDGE_URL", "http://[::1]:8000"), ("KEDGE_ADMIN_TOKEN", "t" * 24), ("KEDGE_SECRET_KEY", KEY)],
)  # fmt: skip
def test_each_right_value_is_taken(foreign: dict[str, str], name: str, value: str) -> None:
    config.load({**foreign, name: value})


def test_the_two_tokens_must_differ(environ: dict[str, str]) -> None:
    assert "must differ" in sole_problem(environ, KEDGE_RUNNER_TOKEN=ADMIN)


@pytest.mark.parametrize(
    ("host", "url", "warned"),
    [("127.0.0.1", "http://127.0.0.1:8000", False), ("::1", "http://[::1]:8000", False),
     ("localhost", "http://localhost:8000", False), ("0.0.0.0", "http://127.0.0.1:8000", True),
     ("::", "http://127.0.0.1:8000", True), ("10.0.0.1", "http://10.0.0.1:8000", True)],
)  # fmt: skip
def test_the_url_is_derived_from_host_and_port(foreign: dict[str, str], host: str, url: str, warned: bool) -> None:
    settings = config.load({**foreign, "KEDGE_HOST": host})
    assert settings.url == url
    assert [warning.split()[0] for warning in settings.warnings] == ["KEDGE_URL"] * warned


def test_on_heroku_nothing_may_be_kept_on_the_disk(environ: dict[str, str]) -> None:
    found = problems({**environ, "DYNO": "web.1"})
    assert [problem.split()[0] for problem in found] == ["DATABASE_URL", "KEDGE_SECRET_KEY"]
    kept = {"DATABASE_URL": "postgres://u:p@db/kedge", "KEDGE_SECRET_KEY": KEY, "DYNO": "web.1"}
    settings = config.load({**environ, **kept, "PORT": "31337", "KEDGE_URL": "https://kedge.example.com"})
    assert (settings.host, settings.port) == ("0.0.0.0", 31337)
    assert not settings.data.exists()
    assert config.load({**environ, **kept, "KEDGE_HOST": "127.0.0.1"}).host == "127.0.0.1"


def test_on_heroku_the_address_is_derived_where_the_dyno_knows_it(environ: dict[str, str]) -> None:
    dyno = {
        **environ,
        "DATABASE_URL": "postgres://u:p@db/kedge",
        "KEDGE_SECRET_KEY": KEY,
        "DYNO": "web.1",
        "HEROKU_APP_DEFAULT_DOMAIN_NAME": "kedge-1234567890ab.herokuapp.com",
    }
    dyno.pop("KEDGE_URL", None)
    settings = config.load(dyno)
    assert (settings.url, settings.warnings) == ("https://kedge-1234567890ab.herokuapp.com", ())
    assert config.load({**dyno, "KEDGE_URL": "https://kedge.example.com"}).url == "https://kedge.example.com"
    assert [warning.split()[0] for warning in config.load({**dyno, "HEROKU_APP_DEFAULT_DOMAIN_NAME": ""}).warnings] == [
        "KEDGE_URL"
    ]


def test_the_database_is_migrated_without_any_other_setting(tmp_path: Path) -> None:
    assert (
        config.database_of({"KEDGE_DATA": str(tmp_path / "new/data")}) == f"sqlite:///{tmp_path}/new/data/kedge.sqlite"
    )
    assert (tmp_path / "new/data").stat().st_mode & 0o777 == 0o700
    assert config.database_of({"DATABASE_URL": "postgres://u:p@db/kedge", "DYNO": "release.1"}).endswith("@db/kedge")
    with pytest.raises(SettingsError, match="must be a postgres:// address here"):
        config.database_of({"DYNO": "release.1"})


def test_folders_may_be_written_with_a_tilde_or_relative(
    foreign: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert config.load({**foreign, "KEDGE_DATA": "~/k"}).data == tmp_path / "home/k"
    monkeypatch.chdir(tmp_path)
    settings = config.load({**foreign, "KEDGE_DATA": "k"})
    assert settings.data == tmp_path / "k"
    assert settings.database_url == f"sqlite:///{tmp_path}/k/kedge.sqlite"


# The secret key


def test_a_secret_key_is_made_once_and_for_its_owner_only(environ: dict[str, str], tmp_path: Path) -> None:
    first = config.load(environ)
    (key,) = first.secret_keys
    assert len(key) >= 32
    assert config.load(environ).secret_keys == (key,)
    path = tmp_path / "data/secret_key"
    assert [each.name for each in path.parent.iterdir()] == ["secret_key"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    other = config.load({**environ, "KEDGE_DATA": str(tmp_path / "other")})
    assert other.secret_keys != first.secret_keys


def test_starts_at_one_moment_agree_on_the_secret_key(foreign: dict[str, str]) -> None:
    del foreign["KEDGE_SECRET_KEY"]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: config.load(foreign).secret_keys, range(16)))
    assert len(set(keys)) == 1


def test_a_secret_key_that_is_set_leaves_no_file(environ: dict[str, str], tmp_path: Path) -> None:
    config.load({**environ, "KEDGE_SECRET_KEY": KEY})
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("mode", "text", "said"), [(0o644, KEY, "chmod 600"), (0o600, "short\n", "less than 32")])
def test_a_kept_secret_key_is_checked(environ: dict[str, str], tmp_path: Path, mode: int, text: str, said: str) -> None:
    path = tmp_path / "data/secret_key"
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(mode)
    problem = sole_problem(environ)
    assert said in problem
    assert text.strip() not in problem


def test_a_folder_that_cannot_be_made_is_a_problem(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert sole_problem(environ, KEDGE_DATA=str(tmp_path / "file/data")).startswith("KEDGE_DATA: cannot keep")


# The application config


def test_the_config_is_read_again_from_its_file(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "apps.yml"
    path.write_text(APPS)
    settings = config.load({**environ, "KEDGE_APPS": str(path)})
    assert (settings.apps_path, settings.apps_text) == (path, None)
    path.write_text("relay: {deploy: x}")
    assert config.read_apps(settings) == "relay: {deploy: x}"
    path.unlink()
    with pytest.raises(SettingsError, match="cannot read"):
        config.read_apps(settings)


@pytest.mark.parametrize("text", [APPS, '{"a":{"deploy":"x"}}', "a:\n deploy: x"])
def test_the_config_may_be_the_text_itself(environ: dict[str, str], text: str) -> None:
    settings = config.load({**environ, "KEDGE_APPS": text})
    assert (settings.apps_path, config.read_apps(settings)) == (None, text)


@pytest.mark.parametrize("value", ["/nonexistent/apps.yml", "apps.yml", "x" * 5000, "a\0b"])
def test_a_config_file_that_is_not_there_is_a_problem(environ: dict[str, str], value: str) -> None:
    assert sole_problem(environ, KEDGE_APPS=value).startswith("KEDGE_APPS: cannot read")


def test_a_config_file_must_be_text(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "apps.yml"
    path.write_bytes(b"a: {deploy: '\xff'}")
    assert "UTF-8" in sole_problem(environ, KEDGE_APPS=str(path))
    assert "directory" in sole_problem(environ, KEDGE_APPS=str(tmp_path))


def test_what_is_doubtful_in_the_config_is_a_warning(environ: dict[str, str]) -> None:
    (warning,) = config.load({**environ, "KEDGE_APPS": "a: {deploy: 'x {SHA}'}"}).warnings
    assert warning.startswith("KEDGE_APPS: line 1: a.deploy: {SHA} is no variable")


def test_a_reloaded_config_may_need_what_is_not_set(foreign: dict[str, str], environ: dict[str, str]) -> None:
    apps = parse("a: {deploy: x}\nb: {deploy: x, via: 'tests.whole_provider:WholeProvider'}").apps
    (said,) = config.unmet(config.load(foreign), apps)
    assert said.startswith("a: via github needs GITHUB_APP_ID")
    assert config.unmet(config.load(foreign), apps[1:]) == []
    assert config.unmet(config.load(environ), apps) == []


# GitHub


def test_an_app_via_github_needs_the_app_of_github(foreign: dict[str, str]) -> None:
    found = problems({**foreign, "KEDGE_APPS": APPS})
    assert [problem.split()[0] for problem in found] == [
        "GITHUB_APP_ID",
        "GITHUB_PRIVATE_KEY",
        "GITHUB_WEBHOOK_SECRET",
    ]
    found = problems({**foreign, "KEDGE_APPS": APPS, "KEDGE_INBOUND": "none"})
    assert [problem.split()[0] for problem in found] == ["GITHUB_APP_ID", "GITHUB_PRIVATE_KEY"]


def test_people_can_sign_in_with_both_halves_of_the_client_or_not_at_all(environ: dict[str, str]) -> None:
    client = {"GITHUB_CLIENT_ID": "Iv23li", "GITHUB_CLIENT_SECRET": "hidden-secret"}
    github = config.load({**environ, **client}).github
    assert github and (github.client_id, github.client_secret) == ("Iv23li", "hidden-secret")
    assert "hidden" not in repr(github)
    without = config.load(environ).github
    assert without and (without.client_id, without.client_secret) == (None, None)
    for name in client:
        there = {one: value for one, value in client.items() if one != name}
        assert sole_problem(environ, **there).startswith(f"{name} is not set, but {next(iter(there))} is;")
    said = sole_problem(environ, **{**client, "GITHUB_CLIENT_SECRET": "hidden secret"})
    assert said.startswith("GITHUB_CLIENT_SECRET") and "hidden" not in said


# What set-up kept


@pytest.fixture
def kept(environ: dict[str, str]) -> Credentials:
    """An App that set-up made; the environment names none."""
    for name in ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET"):
        del environ[name]
    made = Credentials(
        app_id=815,
        slug="kedge-acme",
        owner="acme",
        page="https://github.com/apps/kedge-acme",
        api_url="https://api.github.com",
        private_key=pem(),
        webhook_secret="kept-secret",
        client_id="Iv1",
        client_secret="client-secret",
        created_at=1,
    )
    credentials.write(Path(environ["KEDGE_DATA"]) / credentials.FILE, made)
    return made


def test_what_set_up_kept_is_used(environ: dict[str, str], kept: Credentials) -> None:
    settings = config.load(environ)
    assert settings.github
    assert (settings.github.app_id, settings.github.webhook_secrets) == (815, ("kept-secret",))
    assert settings.github.web_url == "https://github.com"
    assert settings.github.page == kept.page
    assert "secret" not in repr(kept) + repr(settings.github)
    assert "PRIVATE" not in repr(kept) + repr(settings.github)


def test_the_environment_goes_before_what_set_up_kept(environ: dict[str, str], kept: Credentials) -> None:
    own = {"GITHUB_APP_ID": "4711", "GITHUB_PRIVATE_KEY": pem(), "GITHUB_WEBHOOK_SECRET": "own"}
    settings = config.load({**environ, **own})
    assert settings.github
    assert (settings.github.app_id, settings.github.page) == (4711, None)
    assert len(problems({**environ, "GITHUB_APP_ID": "4711"})) == 2, "nothing is mixed"


def test_an_app_of_another_host_is_not_used(environ: dict[str, str], kept: Credentials) -> None:
    assert "unset it" in sole_problem(environ, GITHUB_API_URL="https://ghe.test/api/v3")


@pytest.mark.parametrize(("mode", "text", "said"), [(0o644, None, "chmod 600"), (0o600, "{", "run kedge setup again")])
def test_kept_credentials_that_cannot_be_used(
    environ: dict[str, str], kept: Credentials, mode: int, text: str | None, said: str
) -> None:
    path = Path(environ["KEDGE_DATA"]) / credentials.FILE
    if text:
        path.write_text(text)
    path.chmod(mode)
    found = problems(environ)
    assert said in found[0]


def test_set_up_makes_no_second_app(environ: dict[str, str], kept: Credentials) -> None:
    with pytest.raises(SettingsError, match="the App kedge-acme in"):
        config.load(environ, setup=True)
    (Path(environ["KEDGE_DATA"]) / credentials.FILE).unlink()
    assert config.load(environ, setup=True).setup == GitHubHost("https://api.github.com", "https://github.com")
    with pytest.raises(SettingsError, match="remove GITHUB_APP_ID"):
        config.load({**environ, "GITHUB_APP_ID": "1"}, setup=True)


def test_set_up_needs_an_address_that_github_reaches(
    environ: dict[str, str], kept: Credentials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(environ["KEDGE_DATA"]) / credentials.FILE).unlink()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["setup"]) == 2
    assert "GitHub cannot call http://127.0.0.1:8000" in capsys.readouterr().err


def test_half_an_app_of_github_is_a_problem_even_where_none_is_needed(foreign: dict[str, str]) -> None:
    assert len(problems({**foreign, "GITHUB_APP_ID": "1"})) == 2


def test_without_webhooks_no_secret_is_needed(environ: dict[str, str]) -> None:
    del environ["GITHUB_WEBHOOK_SECRET"]
    assert "KEDGE_INBOUND=none" in sole_problem(environ)
    settings = config.load({**environ, "KEDGE_INBOUND": "none"})
    assert settings.github
    assert (settings.inbound, settings.github.webhook_secrets) == ("none", ())


@pytest.mark.parametrize("secret", [",", " , "])
def test_a_webhook_secret_of_commas_is_none(environ: dict[str, str], secret: str) -> None:
    assert sole_problem(environ, GITHUB_WEBHOOK_SECRET=secret).startswith("GITHUB_WEBHOOK_SECRET is not set")


def test_the_private_key_may_be_text_a_line_or_a_file(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_text(pem())
    for value in (pem(), pem().replace("\n", "\\n"), pem().strip(), str(path)):
        github = config.load({**environ, "GITHUB_PRIVATE_KEY": value}).github
        assert github
        assert github.private_key.strip() == pem().strip()


def test_the_private_key_must_be_usable(environ: dict[str, str]) -> None:
    flaws = {
        "neither PEM text": "c29tZSBiYXNlNjQgb2YgYSBrZXk=",
        "neither PEM": "x" * 5000,
        "cut off": pem()[:500],
        "is no private key": "-----BEGIN RSA PRIVATE KEY-----\nhidden\n-----END RSA PRIVATE KEY-----\n",
        "passphrase": _text(rsa.generate_private_key(65537, 2048), BestAvailableEncryption(b"hidden")),
        "not an RSA key": _text(ec.generate_private_key(ec.SECP256R1())),
        "fewer than 2048 bits": pem(1024),
    }
    for said, value in flaws.items():
        problem = sole_problem(environ, GITHUB_PRIVATE_KEY=value)
        assert problem.startswith("GITHUB_PRIVATE_KEY")
        assert said in problem
        assert "hidden" not in problem
        assert value[:40] not in problem


@pytest.mark.parametrize(
    ("api_url", "web_url"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://ghe.example.com/api/v3", "https://ghe.example.com"),
        ("https://ghe.example.com:8443/api/v3/", "https://ghe.example.com:8443"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com"),
        ("http://127.0.0.1:9999", "http://127.0.0.1:9999"),
        ("http://127.0.0.1:9999/api/v3", "http://127.0.0.1:9999"),
    ],
)
def test_the_address_of_the_pages_is_derived(environ: dict[str, str], api_url: str, web_url: str) -> None:
    settings = config.load({**environ, "GITHUB_API_URL": api_url})
    assert settings.github
    assert settings.github.api_url == api_url.rstrip("/")
    assert settings.github.web_url == web_url
    assert settings.warnings == ()
    said = config.load({**environ, "GITHUB_API_URL": api_url, "GITHUB_WEB_URL": "https://web.example.com/"}).github
    assert said
    assert said.web_url == "https://web.example.com"


def test_github_in_the_clear_is_a_warning(environ: dict[str, str]) -> None:
    (warning,) = config.load({**environ, "GITHUB_API_URL": "http://ghe.example.com/api/v3"}).warnings
    assert warning.startswith("GITHUB_API_URL is http://")


# The runner


def test_the_least_a_runner_needs(runner_environ: dict[str, str], tmp_path: Path) -> None:
    assert runner_config.load(runner_environ) == runner_config.Settings(
        url="https://kedge.example.com",
        token=RUNNER,
        name=socket.gethostname(),
        labels=(),
        apps=None,
        shared=(),
        workdir=tmp_path / ".local/share/kedge/runner",
        slots=1,
        network=Network(),
    )


def test_everything_said_to_a_runner(runner_environ: dict[str, str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(RUNNER + "\n")
    del runner_environ["KEDGE_RUNNER_TOKEN"]
    settings = runner_config.load(
        {
            **runner_environ,
            "KEDGE_RUNNER_TOKEN_FILE": str(token),
            "KEDGE_RUNNER_NAME": "rack-1.example.com",
            "KEDGE_RUNNER_LABELS": "prod, eu-1",
            "KEDGE_RUNNER_APPS": "sentry,getsentry/relay",
            "KEDGE_RUNNER_ENV": "SSH_AUTH_SOCK,not_set",
            "KEDGE_WORKDIR": "/srv/kedge",
            "KEDGE_RUNNER_SLOTS": "64",
            "https_proxy": "http://proxy:3128",
            "no_proxy": "localhost",
        }
    )
    assert settings == replace(
        settings,
        token=RUNNER,
        name="rack-1.example.com",
        labels=("prod", "eu-1"),
        apps=("sentry", "getsentry/relay"),
        shared=("SSH_AUTH_SOCK", "not_set"),
        workdir=Path("/srv/kedge"),
        slots=64,
        network=Network("http://proxy:3128", "localhost"),
        warnings=(),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEDGE_URL", "kedge.example.com"),
        ("KEDGE_URL", ""),
        ("KEDGE_RUNNER_TOKEN", ""),
        ("KEDGE_RUNNER_TOKEN", "hidden"),
        ("KEDGE_RUNNER_TOKEN", "t" * 24 + "\nhidden"),
        ("KEDGE_RUNNER_NAME", "a b"),
        ("KEDGE_RUNNER_NAME", "-a"),
        ("KEDGE_RUNNER_NAME", "a" * 101),
        ("KEDGE_RUNNER_LABELS", "prod,a b"),
        ("KEDGE_RUNNER_APPS", "a/b/c"),
        ("KEDGE_RUNNER_APPS", "getsentry/"),
        ("KEDGE_RUNNER_ENV", "KEDGE_RUNNER_TOKEN"),
        ("KEDGE_RUNNER_ENV", "A=b"),
        ("KEDGE_RUNNER_SLOTS", "0"),
        ("KEDGE_RUNNER_SLOTS", "65"),
        ("HTTPS_PROXY", "proxy"),
        ("SSL_CERT_FILE", "/nonexistent"),
    ],
)
def test_each_wrong_value_of_a_runner_is_one_problem(runner_environ: dict[str, str], name: str, value: str) -> None:
    said = runner_problem(runner_environ, **{name: value})
    assert said.startswith(name)
    assert "hidden" not in said


def test_all_that_a_runner_misses_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        runner_config.load({"KEDGE_RUNNER_SLOTS": "x"})
    named = [problem.split()[0] for problem in refused.value.problems]
    assert named == ["KEDGE_URL", "KEDGE_RUNNER_TOKEN", "KEDGE_RUNNER_SLOTS"]


def test_a_runner_has_its_token_from_one_place(runner_environ: dict[str, str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("short")
    assert "both set; leave one" in runner_problem(runner_environ, KEDGE_RUNNER_TOKEN_FILE=str(token))
    del runner_environ["KEDGE_RUNNER_TOKEN"]
    assert "at least 24" in runner_problem(runner_environ, KEDGE_RUNNER_TOKEN_FILE=str(token))
    assert "readable" in runner_problem(runner_environ, KEDGE_RUNNER_TOKEN_FILE=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("url", "warned"),
    [("https://kedge.example.com", 0), ("http://localhost:8000", 0), ("http://127.0.0.1:8000", 0),
     ("http://[::1]:8000", 0), ("http://kedge.example.com", 1), ("http://10.0.0.1:8000", 1)],
)  # fmt: skip
def test_an_app_in_the_clear_is_a_warning(runner_environ: dict[str, str], url: str, warned: int) -> None:
    assert len(runner_config.load({**runner_environ, "KEDGE_URL": url}).warnings) == warned
    assert in_clear(url) == bool(warned)


# Both


class Recorded(Mapping[str, str]):
    """An environment that remembers which variables it was asked for."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables, self.asked = variables, set[str]()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)


def test_the_tables_name_what_is_read_and_nothing_else(environ: dict[str, str], runner_environ: dict[str, str]) -> None:
    unnamed = {"HOME", "DYNO", "HEROKU_APP_DEFAULT_DOMAIN_NAME", "https_proxy", "no_proxy"}
    app, runner = Recorded(environ), Recorded(runner_environ)
    config.load(app)
    runner_config.load(runner)
    assert app.asked - unnamed == {each.name for each in config.SETTINGS}
    assert runner.asked - unnamed == {each.name for each in runner_config.SETTINGS}


@pytest.mark.parametrize("settings", [config.SETTINGS, runner_config.SETTINGS])
def test_tables_are_well_formed(settings: tuple[Setting, ...]) -> None:
    assert len({each.name for each in settings}) == len(settings)
    rows = markdown_table(settings).splitlines()
    assert len(rows) == len(settings) + 2
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)
    shown = help_text(settings).splitlines()
    assert [line.split()[0] for line in shown] == [each.name for each in settings]
    assert all(each.default and each.help.endswith(".") for each in settings)


def test_no_secret_is_shown(environ: dict[str, str], runner_environ: dict[str, str]) -> None:
    app = config.load(
        {
            **environ,
            "DATABASE_URL": "postgres://u:hidden@db/k",
            "HTTPS_PROXY": "http://u:hidden@p",
            "KEDGE_SECRET_KEY": KEY,
        }
    )
    runner = runner_config.load({**runner_environ, "HTTPS_PROXY": "http://u:hidden@p"})
    shown = repr(app) + repr(runner)
    assert app.github
    for secret in ("hidden", ADMIN, RUNNER, KEY, "hook-secret", "PRIVATE KEY"):
        assert secret not in shown


def test_a_refusal_reads_as_its_problems() -> None:
    env = Environment({"A": "x"})
    env.finish()
    env.number("A", 1, 1, 2)
    env.flag("A")
    with pytest.raises(SettingsError) as refused:
        env.finish()
    assert str(refused.value) == "A must be a whole number from 1 to 2.\nA must be 1 or 0."


def test_the_real_environment_is_a_mapping_like_any(foreign: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each.name for each in config.SETTINGS] + ["DYNO", "https_proxy", "no_proxy"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    assert config.load(os.environ) == config.load(foreign)


# Slack


def test_slack(environ: dict[str, str]) -> None:
    assert config.load(environ).slack is None
    found = config.load({**environ, "SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"}).slack
    assert found == SlackSettings(bot_token="xoxb-1", app_token="xapp-1")
    assert "xoxb-1" not in repr(found) and "xapp-1" not in repr(found)
    url = "https://hooks.slack.com/services/T1/B1/secret"
    found = config.load({**environ, "SLACK_WEBHOOK_URL": url, "SLACK_API_URL": "http://127.0.0.1:7/api/"}).slack
    assert found == SlackSettings(webhook_url=url, api_url="http://127.0.0.1:7/api")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SLACK_BOT_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN must begin with xoxb-"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "1"}, "SLACK_APP_TOKEN must begin with xapp-"),
        ({"SLACK_APP_TOKEN": "xapp-1"}, "SLACK_APP_TOKEN is set, but SLACK_BOT_TOKEN is not"),
        ({"SLACK_WEBHOOK_URL": "http://hooks.slack.com/services/T1"}, "SLACK_WEBHOOK_URL must be the https://"),
        ({"SLACK_WEBHOOK_URL": "https://hooks.slack.com/"}, "SLACK_WEBHOOK_URL must be the https://"),
        ({"SLACK_WEBHOOK_URL": "hooks"}, "SLACK_WEBHOOK_URL must be the https://"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_API_URL": "slack.com"}, "SLACK_API_URL must be"),
    ],
)
def test_slack_that_cannot_be_used(environ: dict[str, str], changed: dict[str, str], said: str) -> None:
    assert sole_problem(environ, **changed).startswith(said)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_WEBHOOK_URL": "https://h.test/x"}, "SLACK_WEBHOOK_URL is not used"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_API_URL": "http://slack.test/api"}, "SLACK_API_URL is http://"),
        ({"KEDGE_APPS": "a: {deploy: 'x {sha}', notify: {slack: '#a'}}"}, "KEDGE_APPS: line 1: a.notify.slack: nobody"),
    ],
)
def test_slack_that_is_doubtful(environ: dict[str, str], changed: dict[str, str], said: str) -> None:
    (warning,) = config.load({**environ, **changed}).warnings
    assert warning.startswith(said)
