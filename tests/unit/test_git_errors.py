"""What git and the servers behind it say, in words. The texts on the left are theirs."""

import pytest

from ghapp.vcs.git_errors import explain, is_disk_full, last_lines, refuses_sha

SAID = [
    ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", "asks for credentials"),
    (
        "remote: Invalid username or password.\nfatal: Authentication failed for 'https://github.com/o/r/'",
        "refused the credentials",
    ),
    (
        "remote: Write access to repository not granted.\nfatal: unable to access 'https://h/': returned error: 403",
        "refused the credentials",
    ),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 401", "refused the credentials"),
    ("remote: Repository not found.\nfatal: repository 'https://github.com/o/r/' not found", "no repository"),
    ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", "no repository"),
    ("fatal: '/srv/x' does not appear to be a git repository", "no repository"),
    ("fatal: unable to access 'https://h/': Could not resolve host: h", "could not be resolved"),
    ("ssh: Could not resolve hostname h: Name or service not known", "could not be resolved"),
    ("fatal: unable to access 'https://h/': Could not resolve proxy: p", "could not be resolved"),
    (
        "fatal: unable to access 'https://h/': Failed to connect to h port 443 after 1 ms: Couldn't connect to server",
        "could not be reached",
    ),
    ("fatal: unable to access 'https://h/': The requested URL returned error: 503", "could not be reached"),
    ("error: RPC failed; curl 92 HTTP/2 stream 0 was not closed cleanly\nfatal: early EOF", "could not be reached"),
    ("fatal: the remote end hung up unexpectedly", "could not be reached"),
    ("fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate", "not trusted"),
    ("fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none", "not trusted"),
    (
        "Host key verification failed.\nfatal: Could not read from remote repository.",
        "known_hosts",
    ),
    ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", "ssh key"),
    ("fatal: write error: No space left on device", "disk of the runner is full"),
    ("error: file write error: Disk quota exceeded", "disk of the runner is full"),
    ("fatal: transport 'ext' not allowed", "not allowed here"),
    ("fatal: detected dubious ownership in repository at '/srv/x.git'", "another user"),
]


@pytest.mark.parametrize(("said", "words"), SAID)
def test_known_failures_have_a_sentence_with_the_next_step(said: str, words: str) -> None:
    known = explain(said, host="h.example", url="https://h.example/o/r.git", who="the runner")
    assert known is not None
    sentence = known.message
    assert words in sentence
    assert "{" not in sentence
    assert sentence.count(". ") >= 1, "it says what to do next"


@pytest.mark.parametrize("said", ["", "fatal: bad object HEAD", "error: index-pack died", "warning: something"])
def test_others_have_none(said: str) -> None:
    assert explain(said, host="h", url="u", who="the app") is None


def test_what_only_another_way_can_answer() -> None:
    assert refuses_sha("error: Server does not allow request for unadvertised object 1234")
    assert refuses_sha("fatal: remote error: upload-pack: not our ref 1234")
    assert refuses_sha(f"fatal: remote error: want {'0f' * 20} not valid")
    assert refuses_sha("fatal: couldn't find remote ref 1234")
    assert not refuses_sha("fatal: Authentication failed for 'https://x/'")


def test_a_full_disk() -> None:
    assert is_disk_full("fatal: sha1 file '.git/x' write error: No space left on device")
    assert not is_disk_full("fatal: early EOF")


def test_the_last_lines_without_counters() -> None:
    said = "a\nb\nc\nremote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\nd\ne\nf\n\n"
    assert last_lines(said) == "b\nc\nd\ne\nf"
    assert last_lines("Receiving objects:  10% (1/10)\rReceiving objects:  20% (2/10)\rfatal: x", 2) == "fatal: x"
    assert last_lines("") == ""
