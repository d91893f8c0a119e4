"""Addresses of repositories: which kinds are accepted, what git may use for them, and how people know them. Pure."""

import hashlib
import posixpath
import re
import urllib.parse
from dataclasses import dataclass

_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
# https://git-scm.com/docs/git-clone#_git_urls
_SCP_LIKE = re.compile(
    r"(?!(file|https?|ssh|git|ftps?):)((?P<user>[\w.-]+)@)?(?P<host>\w[\w.-]*):(?!//)(?P<path>[^:]+)"
)
_NONE = "That is no address of a repository. Use https://HOST/OWNER/REPOSITORY.git, ssh or an absolute path."
_DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22}


class BadAddress(ValueError):
    """The address is of no kind that is accepted; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a repository is. ``url`` is what git is given, ``host`` its host, for a file its path. ``id`` has 53 bits
    and is the same for every spelling of the address; ``name`` is its last two parts, such as ``team/app``."""

    url: str
    host: str
    id: int
    name: str


def address_of(text: str) -> Address:
    """An address as people write it: a URL, ``user@host:path``, or an absolute path.

    Raises:
        BadAddress: see `host_of`.
    """
    url = f"file://{urllib.parse.quote(posixpath.normpath(text))}" if re.match(r"/(?!/)", text) else text
    host = host_of(url)
    spelling = _normal(url)
    parts = [part for part in re.split(r"[/:@]", spelling) if part]
    digest = hashlib.sha256(spelling.encode()).digest()
    return Address(url, host, int.from_bytes(digest[:7]) >> 3, "/".join(parts[-2:]).removesuffix(".git"))


def host_of(url: str) -> str:
    """The host of an address, for sentences; for a file its path.

    Raises:
        BadAddress: not https, ssh, file, or http on loopback; or it contains credentials.
    """
    if not url.isprintable() or url.startswith("-"):
        raise BadAddress("The address of the repository contains characters that no address has.")
    if match := _SCP_LIKE.fullmatch(url):
        return match["host"]
    parts = _split(url)
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise BadAddress(
            "The address of the repository contains credentials. Take them out: git is let in by Kedge's own token, by"
            " an ssh key or by GIT_ASKPASS."
        )
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return parts.path
    host = parts.hostname or ""
    odd = host.startswith("-") or (parts.username or "").startswith("-") or parts.query or parts.fragment
    if not host or not parts.path.strip("/") or odd:
        raise BadAddress(_NONE)
    if parts.scheme in ("https", "ssh") or (parts.scheme == "http" and _LOOPBACK.fullmatch(host)):
        return host
    raise BadAddress(
        f"{parts.scheme}:// to {host} would send the token in the clear or is not known. Use https or ssh."
    )


def protocols_of(url: str) -> str:
    """What goes into ``GIT_ALLOW_PROTOCOL``: https and ssh, and that of ``url`` (for its submodules too)."""
    scheme = "ssh" if _SCP_LIKE.fullmatch(url) else urllib.parse.urlsplit(url).scheme
    return ":".join(dict.fromkeys(("https", "ssh", scheme)))


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018, raises where it is none
    except ValueError:
        raise BadAddress(_NONE) from None
    return parts


def _normal(url: str) -> str:
    """One spelling of all that name the same place. How it is reached counts: what ``host:app`` is for one user of ssh
    is another place for the next, and neither is ``ssh://host/app``."""
    if match := _SCP_LIKE.fullmatch(url):
        return f"{match['user'] or ''}@{match['host'].lower()}:{_trimmed(match['path'])}"
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        return "file://" + posixpath.normpath(urllib.parse.unquote(parts.path))
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{parts.hostname}{port}{_trimmed(urllib.parse.unquote(parts.path))}"


def _trimmed(path: str) -> str:
    return path.rstrip("/").removesuffix(".git")
