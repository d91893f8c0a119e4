"""Who is who: logins and users of Slack, as the operator says (KEDGE_SLACK_USERS).

A user's name, and what they write in their profile, say nothing: whoever may change those would become somebody else.
"""

from collections.abc import Sequence
from typing import Protocol

from cachetools import TTLCache

from ghapp.channels.slack import User
from ghapp.core.chat_people import Link
from ghapp.core.remote import NotFound

#: Who has just been let in or out notices within this time.
REMEMBER_S = 60


class Directory(Protocol):
    """Slack's own knowledge. Every method raises RemoteError."""

    async def user(self, user_id: str) -> User: ...

    async def user_by_email(self, email: str) -> str: ...


class SlackPeople:
    """``links`` are the operator's."""

    def __init__(self, directory: Directory, links: Sequence[Link]) -> None:
        self._directory = directory
        self._links = tuple(links)
        self._users: TTLCache[str, User] = TTLCache(10_000, REMEMBER_S)
        self._ids: TTLCache[str, str] = TTLCache(10_000, REMEMBER_S)

    async def user_id(self, login: str) -> str | None:
        """The Slack user that a login is; None for nobody. Raises RemoteError."""
        link = next((one for one in self._links if one.login.casefold() == login.casefold()), None)
        if link is None or link.user_id:
            return link.user_id if link else None
        if link.email and link.email not in self._ids:
            try:
                self._ids[link.email] = await self._directory.user_by_email(link.email)
            except NotFound:
                return None
        return self._ids.get(link.email or "")

    async def login(self, user_id: str) -> str | None:
        """The login that a user of Slack is; None for who is nobody here. Raises RemoteError."""
        if user_id not in self._users:
            try:
                self._users[user_id] = await self._directory.user(user_id)
            except NotFound:
                return None
        user = self._users[user_id]
        if user.stranger:
            return None
        for link in self._links:
            by_email = link.email and user.email and link.email.casefold() == user.email.casefold()
            if link.user_id == user.id or by_email:
                return link.login
        return None
