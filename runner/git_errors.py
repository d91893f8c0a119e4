"""What git's complaints mean, in words for the deploy page. Pure.

git has no error codes: the only sign is its English message (the runner sets ``LC_ALL=C``), so this is a
table of expressions. The first match counts.
"""

import re

_DISK_FULL = r"No space left on device|Disk quota exceeded"

# Said by servers that do not hand out a bare sha, or do not have it:
# https://git-scm.com/docs/git-config#Documentation/git-config.txt-uploadpackallowReachableSHA1InWant
_REFUSED_SHA = r"unadvertised object|not our ref|couldn't find remote ref|no such remote ref"

_TABLE: tuple[tuple[str, str], ...] = (
    (
        _DISK_FULL,
        "The disk of the runner is full. Free some space there, then deploy again.",
    ),
    (
        r"Host key verification failed",
        "The ssh host key of {host} is not known to the runner. Add it to ~/.ssh/known_hosts of the runner's user.",
    ),
    (
        r"Permission denied \([\w,-]*publickey",
        "{host} refused the ssh key of the runner's user. Check that the key may read {url}.",
    ),
    (
        r"could not read (Username|Password)|unable to read askpass response|terminal prompts disabled",
        "{host} asks for credentials for {url}, and there are none for it."
        " Check that Kedge is installed for this repository, and that a submodule is on the same host.",
    ),
    (
        r"Authentication failed|returned error: 40[13]|HTTP 40[13]|Invalid username or|Permission to .* denied"
        r"|access to repository not granted|Bad credentials",
        "{host} refused the token for {url}. Check that the installation includes this repository, that it may"
        " read contents, and that the account is not suspended or behind single sign-on.",
    ),
    (
        r"[Rr]epository not found|returned error: 404|HTTP 404|repository '.*' not found"
        r"|does not appear to be a git repository|project you were looking for could not be found",
        "There is no repository at {url}, or the token may not see it."
        " Check the name, and that the installation includes this repository.",
    ),
    (
        r"Could not resolve (host|hostname|proxy)|Name or service not known|name resolution",
        "The name {host} could not be resolved. Check the runner's DNS and HTTPS_PROXY, then deploy again.",
    ),
    (
        r"SSL certificate|certificate verif|self.signed certificate|server certificate",
        "The certificate of {host} is not trusted."
        " Point SSL_CERT_FILE of the runner at a file with the right authority.",
    ),
    (
        r"transport '.*' not allowed",
        "A repository or submodule has an address of a kind that is not allowed here. Use https or ssh.",
    ),
    (
        r"Failed to connect|Couldn't connect|Connection (refused|reset|timed out|closed)|timed out"
        r"|hung up unexpectedly|early EOF|RPC failed|Network is unreachable|Empty reply from server"
        r"|returned error: (429|5\d\d)|Could not read from remote repository|unable to access",
        "{host} could not be reached, or broke off. Check the network between it and the runner, then deploy again.",
    ),
)


def explain(stderr: str, *, host: str, url: str) -> str | None:
    """The sentence for a known failure, or ``None`` when the text matches none."""
    for pattern, sentence in _TABLE:
        if re.search(pattern, stderr):
            return sentence.format(host=host, url=url)
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
