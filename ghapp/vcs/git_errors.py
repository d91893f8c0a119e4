"""What git's complaints mean, in words for people. Pure.

git has no error codes: the only sign is its English message (it is run with ``LC_ALL=C``), so this is a table of
expressions. The first match counts.
"""

import re

from ghapp.core.remote import NotFound, Refused, RemoteError, Unauthorized, Unavailable

_DISK_FULL = r"No space left on device|Disk quota exceeded"

# Said by servers that do not hand out a bare sha, or do not have it:
# https://git-scm.com/docs/git-config#Documentation/git-config.txt-uploadpackallowReachableSHA1InWant
# The last one is JGit's, which Gerrit is built on.
_REFUSED_SHA = r"unadvertised object|not our ref|couldn't find remote ref|no such remote ref|want [0-9a-f]+ not valid"

_TABLE: tuple[tuple[str, type[RemoteError], str], ...] = (
    (
        _DISK_FULL,
        Unavailable,
        "The disk of {who} is full. Free some space there, then try again.",
    ),
    (
        r"dubious ownership|unsafe repository",
        Refused,
        "{url} belongs to another user of this machine. Give it to the user of {who}, or use an ssh address.",
    ),
    (
        r"Host key verification failed",
        Unavailable,
        "The ssh host key of {host} is not known to {who}. Add it to ~/.ssh/known_hosts of its user.",
    ),
    (
        r"Permission denied \([\w,-]*publickey",
        Unauthorized,
        "{host} refused the ssh key of the user of {who}. Check that the key may read {url}.",
    ),
    (
        r"could not read (Username|Password)|unable to read askpass response|terminal prompts disabled",
        Unauthorized,
        "{host} asks for credentials for {url}, and there are none for it."
        " Check that Kedge is installed for this repository, or that GIT_ASKPASS of {who} names a program that"
        " answers, and that a submodule is on the same host.",
    ),
    (
        r"Authentication failed|returned error: 40[13]|HTTP 40[13]|Invalid username or|Permission to .* denied"
        r"|access to repository not granted|Bad credentials",
        Unauthorized,
        "{host} refused the credentials for {url}. Of a token, check that the installation includes this repository,"
        " that it may read contents, and that the account is not suspended or behind single sign-on; else what"
        " GIT_ASKPASS of {who} answers.",
    ),
    (
        r"[Rr]epository not found|returned error: 404|HTTP 404|repository '.*' not found"
        r"|does not appear to be a git repository|project you were looking for could not be found",
        NotFound,
        "There is no repository at {url}, or the credentials of {who} do not let it see it."
        " Check the name, and that an installation includes this repository.",
    ),
    (
        r"Could not resolve (host|hostname|proxy)|Name or service not known|name resolution",
        Unavailable,
        "The name {host} could not be resolved. Check DNS and HTTPS_PROXY of {who}, then try again.",
    ),
    (
        r"SSL certificate|certificate verif|self.signed certificate|server certificate",
        Unavailable,
        "The certificate of {host} is not trusted. Point SSL_CERT_FILE of {who} at a file with the right authority.",
    ),
    (
        r"transport '.*' not allowed",
        Refused,
        "A repository or submodule has an address of a kind that is not allowed here. Use https or ssh.",
    ),
    (
        r"Failed to connect|Couldn't connect|Connection (refused|reset|timed out|closed)|timed out"
        r"|hung up unexpectedly|early EOF|RPC failed|Network is unreachable|Empty reply from server"
        r"|returned error: (429|5\d\d)|Could not read from remote repository|unable to access",
        Unavailable,
        "{host} could not be reached, or broke off. Check the network between it and {who}, then try again.",
    ),
)


def explain(stderr: str, *, host: str, url: str, who: str) -> RemoteError | None:
    """The error that a known failure is, with its sentence, or None when the text matches none. ``who`` ran git:
    ``the runner``, ``the app``."""
    for pattern, kind, sentence in _TABLE:
        if re.search(pattern, stderr):
            return kind(sentence.format(host=host, url=url, who=who))
    return None


def is_disk_full(stderr: str) -> bool:
    """Whether git failed because nothing more could be written."""
    return re.search(_DISK_FULL, stderr) is not None


def refuses_sha(stderr: str) -> bool:
    """Whether the server would not serve a bare sha, which leaves its branches and tags to be asked."""
    return re.search(_REFUSED_SHA, stderr) is not None


def last_lines(stderr: str, count: int = 5) -> str:
    """The last ``count`` lines that say something; progress counters are left out."""
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", stderr) if line.strip()]
    said = [line for line in lines if not re.match(r"(remote: )?[A-Z][a-z]+ing [a-z]+:? +\d+", line)]
    return "\n".join(said[-count:])
