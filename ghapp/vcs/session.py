"""One HTTP session for every provider: own CAs, proxies from the environment, no cookies, no ``.netrc``."""

import ssl
from typing import TypedDict
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL


class ProxyOptions(TypedDict, total=False):
    """Keyword arguments for ``aiohttp.ClientSession.request``."""

    proxy: URL
    proxy_headers: dict[str, str]


def open_session() -> aiohttp.ClientSession:
    """A session that trusts the system's CAs, or those of ``SSL_CERT_FILE``.

    It does not ask aiohttp to trust the environment: that would read ``~/.netrc`` too, and a line for the host
    there makes aiohttp refuse every request that carries an Authorization header. Proxies come from `proxy_for`.
    https://docs.aiohttp.org/en/stable/client_reference.html#aiohttp.ClientSession (trust_env)
    """
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def proxy_named_for(url: str) -> str | None:
    """The proxy that ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` name for this URL, with its credentials."""
    target = URL(url)
    named = getproxies().get(target.scheme)
    if not named or proxy_bypass(f"{target.host}:{target.port}"):
        return None
    return named if "://" in named else f"http://{named}"


def proxy_for(url: str) -> ProxyOptions:
    """The same as options of a request; empty for none. The credentials are split off, so that they stand in no message
    about the proxy."""
    named = proxy_named_for(url)
    if named is None:
        return {}
    proxy = URL(named)
    if proxy.user is None:
        return {"proxy": proxy}
    credentials = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    return {"proxy": proxy.with_user(None), "proxy_headers": {"Proxy-Authorization": credentials}}
