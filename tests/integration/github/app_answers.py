"""What GitHub answers about an App's installations and tokens, and a clock to go with it."""

from datetime import UTC, datetime

from tests.integration.github.stand_in import Reply

START = 1_714_557_600_000  # 2024-05-01T10:00:00Z
ALL = {"contents": "read", "statuses": "read", "checks": "read", "deployments": "write", "metadata": "read"}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def later(self, minutes: float) -> None:
        self.now += int(minutes * 60_000)


def installation(id: int = 9, **changed: object) -> dict[str, object]:
    account = {"login": "o", "id": 1, "type": "Organization"}
    return {"id": id, "account": account, "permissions": ALL, "suspended_at": None, **changed}


def minted(token: str, clock: Clock, minutes: float = 60) -> Reply:
    ends = datetime.fromtimestamp(clock.now / 1000 + minutes * 60, UTC)
    return Reply({"token": token, "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "permissions": {}}, 201)


def repo(name: str, id: int = 42) -> dict[str, object]:
    return {
        "id": id,
        "full_name": name,
        "clone_url": f"https://github.com/{name}.git",
        "default_branch": "main",
        "private": True,
    }
