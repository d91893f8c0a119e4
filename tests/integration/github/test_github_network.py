"""What lies between Kedge and GitHub: an own CA, a CONNECT proxy, a ``.netrc``."""

from pathlib import Path

import pytest

from ghapp.core.remote import Unavailable
from ghapp.vcs.session import open_session, proxy_for
from tests.integration.github.network import ConnectProxy, OwnCA
from tests.integration.github.stand_in import TOKEN, StandIn, repository_at, tokens

PERMISSION = "GET /repos/o/r/collaborators/alice/permission"


@pytest.fixture
def ca(tmp_path: Path) -> OwnCA:
    return OwnCA(tmp_path)


async def ask(url: str) -> str:
    async with open_session() as session:
        return await repository_at(session, url, "o/r", tokens(TOKEN)).permission("alice")


async def test_an_own_ca(ca: OwnCA, monkeypatch: pytest.MonkeyPatch) -> None:
    async with StandIn().running(ca.server()) as github:
        github.on(PERMISSION, {"permission": "admin"})
        assert github.url.startswith("https://")
        with pytest.raises(Unavailable, match=r"certificate of 127\.0\.0\.1 is not trusted: .*SSL_CERT_FILE"):
            await ask(github.url)
        assert github.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
        assert await ask(github.url) == "admin"


async def test_through_a_connect_proxy(ca: OwnCA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    proxy = ConnectProxy()
    async with StandIn().running(ca.server()) as github, proxy.running() as port:
        github.on(PERMISSION, {"permission": "admin"})
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:proxy-secret@127.0.0.1:{port}")
        assert await ask(github.url) == "admin"
        (head,) = proxy.heads
        assert head.startswith(f"CONNECT {github.url.removeprefix('https://')} HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic bWU6cHJveHktc2VjcmV0" in head
        assert "Proxy-Authorization" not in github.asked[0].headers
        assert TOKEN not in head
        assert TOKEN.encode() not in proxy.carried
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert await ask(github.url) == "admin"
        assert len(proxy.heads) == 1


async def test_a_proxy_that_refuses(ca: OwnCA, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = ConnectProxy("407 Proxy Authentication Required")
    async with StandIn().running(ca.server()) as github, proxy.running() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:proxy-secret@127.0.0.1:{port}")
        with pytest.raises(
            Unavailable, match=r"The proxy answered 407 instead of connecting to 127\.0\.0\.1"
        ) as raised:
            await ask(github.url)
        assert "proxy-secret" not in raised.value.message
        assert github.asked == []


async def test_a_proxy_that_is_not_there(ca: OwnCA, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ConnectProxy().running() as port:
        pass
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:proxy-secret@127.0.0.1:{port}")
    async with StandIn().running(ca.server()) as github:
        with pytest.raises(Unavailable, match=rf"The proxy 127\.0\.0\.1:{port} cannot be reached") as raised:
            await ask(github.url)
        assert "proxy-secret" not in raised.value.message


async def test_a_netrc_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: StandIn) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    github.on(PERMISSION, {"permission": "admin"})
    assert await ask(github.url) == "admin"
    assert github.asked[0].token == TOKEN


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://api.github.com", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.github.com", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://api.github.com", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://github.test", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "github.com"}, "https://api.github.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.github.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "hub:444"}, "https://hub/api/v3", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "hub:443"}, "https://hub/api/v3", None),
    ],
)
def test_which_proxy(environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url).get("proxy")
    assert (str(found).rstrip("/") if found else None) == proxy
