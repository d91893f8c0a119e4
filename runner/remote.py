"""Addresses of repositories: which kinds are accepted, and which protocols git may then use. Pure."""

import re
import urllib.parse

_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_SCP_LIKE = re.compile(r"[\w.-]+@(?P<host>\w[\w.-]*):(?!/)[^:]+")


class BadAddress(ValueError):
    """The address is of no kind that is accepted; the text is a sentence that says why."""


def host_of(url: str) -> str:
    """The host of an address, for sentences; for a file its path.

    Raises:
        BadAddress: not https, ssh, file, or http on loopback; or it contains credentials.
    """
    if not url.isprintable() or url.startswith("-"):
        raise BadAddress("The address of the repository contains characters that no address has.")
    if match := _SCP_LIKE.fullmatch(url):
        return match["host"]
    parts = urllib.parse.urlsplit(url)
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise BadAddress("The address of the repository contains credentials. Take them out: Kedge brings its own.")
    if parts.scheme == "file" and parts.path.startswith("/"):
        return parts.path
    host = parts.hostname or ""
    if not host or host.startswith("-"):
        raise BadAddress(f"{url!r} is no address of a repository. Use https://HOST/OWNER/REPOSITORY.git or ssh.")
    if parts.scheme in ("https", "ssh") or (parts.scheme == "http" and _LOOPBACK.fullmatch(host)):
        return host
    raise BadAddress(
        f"{parts.scheme}:// to {host} would send the token in the clear or is not known. Use https or ssh."
    )


def protocols_of(url: str) -> str:
    """What goes into ``GIT_ALLOW_PROTOCOL``: https and ssh, and that of ``url`` (for its submodules too)."""
    scheme = "ssh" if _SCP_LIKE.fullmatch(url) else urllib.parse.urlsplit(url).scheme
    return ":".join(dict.fromkeys(("https", "ssh", scheme)))
