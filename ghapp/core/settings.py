"""Settings from environment variables, for app and runner alike: read strictly, every problem named at once."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})

#: Fewest characters of a token that somebody makes up.
SHORTEST_TOKEN = 24


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable, as ``--help`` and the README show it."""

    name: str
    default: str
    help: str


class SettingsError(Exception):
    """The settings cannot be used. ``problems`` are sentences for people; none holds a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Network:
    """The way out: what HTTP clients and git are told. A proxy's URL may hold a password."""

    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    ssl_cert_file: str | None = None

    def environment(self) -> dict[str, str]:
        """The same as variables, for git and other programs."""
        values = {
            "HTTPS_PROXY": self.https_proxy,
            "NO_PROXY": self.no_proxy,
            "SSL_CERT_FILE": self.ssl_cert_file,
        }
        return {name: value for name, value in values.items() if value}


NETWORK_SETTINGS = (
    Setting("HTTPS_PROXY", "none", "Proxy for https:// addresses, http://[USER:PASSWORD@]HOST:PORT; git gets it too."),
    Setting("NO_PROXY", "none", "Hosts reached without the proxy, comma-separated."),
    Setting("SSL_CERT_FILE", "the system's", "File of certificates to trust instead (PEM), for your own CA."),
)


class Environment:
    """Reads variables and collects what is wrong with them. A variable that is empty counts as not set."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def wrong(self, problem: str) -> None:
        self.problems.append(problem)

    def text(self, name: str) -> str | None:
        return self._variables.get(name, "").strip() or None

    def listed(self, name: str) -> tuple[str, ...]:
        """The items of a comma-separated list, without empty ones and without repetition."""
        items = (item.strip() for item in (self.text(name) or "").split(","))
        return tuple(dict.fromkeys(item for item in items if item))

    def names(self, name: str, fits: Callable[[str], object], what: str) -> tuple[str, ...]:
        """A list whose items all fit; ``what`` says to what form."""
        items = self.listed(name)
        for item in items:
            if not fits(item):
                self.wrong(f"{name}: {_shown(item)} is not {what}.")
        return items

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "0").lower()
        if value not in TRUE | FALSE:
            self.wrong(f"{name} must be 1 or 0.")
        return value in TRUE

    def choice(self, name: str, *choices: str) -> str:
        """One of the choices, of which the first is the default."""
        value = self.text(name) or choices[0]
        if value not in choices:
            self.wrong(f"{name} must be {' or '.join(choices)}.")
            return choices[0]
        return value

    def number(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdigit() and len(value) <= 18 and low <= int(value) <= high):
            self.wrong(f"{name} must be a whole number from {low} to {high}.")
            return default
        return int(value)

    def secrets(self, name: str, shortest: int) -> tuple[str, ...]:
        """Secrets, comma-separated while rotating; each of printable ASCII without spaces, and long enough."""
        values = self.listed(name)
        for value in values:
            self.judge_secret(name, value, shortest)
        return values

    def secret(self, name: str, shortest: int) -> str:
        value = self.text(name)
        if value is None:
            self.wrong(f"{name} is not set; set it to a random text, such as what `openssl rand -hex 32` prints.")
        else:
            self.judge_secret(name, value, shortest)
        return value or ""

    def judge_secret(self, name: str, value: str, shortest: int) -> None:
        """Find wrong what is too short, or could not stand in an HTTP header."""
        if len(value) < shortest:
            self.wrong(f"{name} must have at least {shortest} characters; `openssl rand -hex 32` prints a good one.")
        if not all("!" <= character <= "~" for character in value):
            self.wrong(f"{name} may hold only ASCII letters, digits and signs, and no spaces.")

    def base_url(self, name: str) -> str | None:
        """An http(s) URL without a slash at its end, to which paths are added."""
        value = self.text(name)
        if value is None:
            return None
        parts = split_url(value)
        if not parts or parts.scheme not in {"http", "https"} or "@" in parts.netloc or parts.query or parts.fragment:
            self.wrong(f"{name} must be http://HOST or https://HOST, with a port or path if need be and nothing else.")
            return None
        return value.rstrip("/")

    def folder(self, name: str, default: str, home: Callable[[], Path]) -> Path:
        """A path; ``~/`` is ``HOME``, or what ``home`` gives."""
        path = Path(self.text(name) or default)
        if path.parts[:1] == ("~",):
            path = Path(self.text("HOME") or home()).joinpath(*path.parts[1:])
        return path

    def network(self, is_file: Callable[[str], bool]) -> Network:
        """The proxy settings; in lower case too, as curl and git read them
        (https://everything.curl.dev/usingcurl/proxies/env.html)."""
        proxy = self.text("HTTPS_PROXY") or self.text("https_proxy")
        parts = split_url(proxy) if proxy else None
        if proxy and (not parts or parts.scheme not in {"http", "https"}):
            self.wrong("HTTPS_PROXY must be http://HOST:PORT or https://HOST:PORT, if need be with USER:PASSWORD@.")
        certificates = self.text("SSL_CERT_FILE")
        if certificates and not is_file(certificates):
            self.wrong(f"SSL_CERT_FILE: there is no file {_shown(certificates)}.")
        return Network(proxy, self.text("NO_PROXY") or self.text("no_proxy"), certificates)

    def finish(self) -> None:
        """Raises `SettingsError` if anything was wrong."""
        if self.problems:
            raise SettingsError(self.problems)


def split_url(url: str) -> SplitResult | None:
    """The parts of an absolute URL, or None where it is none."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable and url.isprintable() and " " not in url else None


def is_loopback(host: str) -> bool:
    """Does the name or address stay on this machine?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def in_clear(url: str) -> bool:
    """Would what is sent there cross a network unencrypted?"""
    parts = split_url(url)
    return bool(parts and parts.scheme == "http" and not is_loopback(parts.hostname or ""))


def markdown_table(settings: Sequence[Setting]) -> str:
    """The settings as the README shows them; ends with a newline."""
    rows = [f"| `{each.name}` | {each.default} | {each.help} |" for each in settings]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def help_text(settings: Sequence[Setting]) -> str:
    """The settings as ``--help`` shows them; ends with a newline."""
    width = max(len(each.name) for each in settings)
    return "".join(f"  {each.name:<{width}}  {each.help} (default: {each.default})\n" for each in settings)


def _shown(value: str) -> str:
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
    return f"“{printable}”" if len(printable) <= 80 else f"“{printable[:80]}…”"
