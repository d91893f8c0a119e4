"""Addresses of repositories: what is accepted, what git is given, and when two are the same."""

import pytest

from ghapp.vcs.git_address import BadAddress, address_of, protocols_of


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (["/srv/git/team/app.git", "/srv/git//team/app.git/", "file:///srv/git/team/app.git"], "team/app"),
        (["/srv/a b/app", "file:///srv/a%20b/app"], "a b/app"),
        (
            [
                "https://git.example.com/team/app.git",
                "https://GIT.example.com:443/team/app/",
                "https://git.example.com/team/app",
            ],
            "team/app",
        ),
        (["git@example.com:team/app.git", "git@example.com:team/app"], "team/app"),
        (["ssh://git@example.com:22/srv/team/app.git", "ssh://git@example.com/srv/team/app"], "team/app"),
        (["ssh://git@example.com:2222/app.git"], "2222/app"),
        (["example.com:app.git"], "example.com/app"),
        (["git@example.com:/srv/git/app.git"], "git/app"),
        (["http://127.0.0.1:8000/team/app.git"], "team/app"),
    ],
)
def test_what_is_the_same_place_has_one_id_and_one_name(spellings: list[str], name: str) -> None:
    found = [address_of(text) for text in spellings]
    assert len({one.id for one in found}) == 1
    assert {one.name for one in found} == {name}
    assert 0 < found[0].id < 2**53


def test_the_id_is_the_same_in_every_release() -> None:
    assert address_of("git@example.com:team/app.git").id == address_of("git@example.com:team/app").id == ID


ID = 2724384200378587


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("git@example.com:app", "ssh://git@example.com/app"),
        ("ana@example.com:app", "ben@example.com:app"),
        ("https://example.com/app", "https://example.com:8443/app"),
        ("https://example.com/app", "https://example.com/App"),
        ("/srv/app", "/srv/app.git"),
    ],
)
def test_what_may_be_another_place_has_another_id(one: str, other: str) -> None:
    assert address_of(one).id != address_of(other).id


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("team/app", "no address of a repository"),
        ("", "no address"),
        ("https://example.com", "no address"),
        ("https://example.com:99999/app", "no address"),
        ("https://example.com/app?x=1", "no address"),
        ("ssh://-oProxyCommand=x/app", "no address"),
        ("ssh://-x@example.com/app", "no address"),
        ("-oProxyCommand=x@example.com:app", "characters"),
        ("https://example.com/a\nb", "characters"),
        ("https://ana:secret@example.com/app", "contains credentials"),
        ("https://token-secret@example.com/app", "contains credentials"),
        ("ssh://git:secret@example.com/app", "contains credentials"),
        ("http://example.com/app", "in the clear"),
        ("ext::sh -c touch% pwned", "no address"),
        ("https:secret", "no address"),
        ("file:secret", "not known|no address"),
        ("file://elsewhere/srv/app", "not known"),
    ],
)
def test_anything_else_is_refused_with_a_sentence_and_without_secrets(text: str, words: str) -> None:
    with pytest.raises(BadAddress, match=words) as caught:
        address_of(text)
    assert "secret" not in str(caught.value)


def test_git_may_use_what_the_address_needs() -> None:
    assert protocols_of(address_of("/srv/app.git").url) == "https:ssh:file"
    assert protocols_of("git@example.com:app") == "https:ssh"
