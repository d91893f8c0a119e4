"""Who is who in a chat, as the operator says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A login, and whom it is in the chat: by member id, else by e-mail address."""

    login: str
    user_id: str | None = None
    email: str | None = None
