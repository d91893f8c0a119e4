"""What repositories define themselves: the text in force, what the newest says, and when to look again."""

from dataclasses import dataclass, replace

import msgspec

from ghapp.core.values import Repository
from ghapp.store.base import Row, Tx


@dataclass(frozen=True, slots=True)
class OwnConfig:
    """Of one repository. ``sha`` and ``text`` are what is in force, None where it defines nothing; ``judged_sha`` is
    the newest commit that touched the file, and ``problems`` say why that one was not taken. ``trouble`` is why it
    could not be read, or why its problems could not be shown there. ``repository_id`` is ours. Times are ms."""

    provider: str
    repository: Repository
    repository_id: int | None
    look_at: int | None
    attempts: int
    trouble: str | None
    judged_sha: str | None
    problems: tuple[str, ...]
    sha: str | None
    text: str | None

    @property
    def said(self) -> str:
        """All that is wrong, for people."""
        return " ".join(filter(None, ("; ".join(self.problems), self.trouble)))

    def called(self, repository: Repository) -> "OwnConfig":
        """The same of the repository as it is called now."""
        return replace(self, repository=repository)


def _own_config(row: Row) -> OwnConfig:
    return OwnConfig(
        row["provider"],
        _repository(row),
        row["repository_id"],
        row["look_at"],
        row["attempts"],
        row["trouble"],
        row["judged_sha"],
        msgspec.json.decode(row["problems"], type=tuple[str, ...]),
        row["sha"],
        row["text"],
    )


def _repository(row: Row) -> Repository:
    return Repository(
        row["provider_id"], row["full_name"], row["clone_url"], row["default_branch"], pushed_at=row["pushed_at"]
    )


async def look_at(tx: Tx, provider: str, repository: Repository, now: int) -> None:
    """Look at the repository's file from now on; it is called so now."""
    await tx.run(
        """INSERT INTO own_configs (provider, provider_id, full_name, clone_url, default_branch, pushed_at, look_at)
           VALUES (:provider, :provider_id, :full_name, :clone_url, :default_branch, :pushed_at, :now)
           ON CONFLICT (provider, provider_id) DO UPDATE SET full_name = excluded.full_name,
           clone_url = excluded.clone_url, default_branch = excluded.default_branch,
           pushed_at = CASE WHEN excluded.pushed_at > own_configs.pushed_at THEN excluded.pushed_at
             ELSE own_configs.pushed_at END,
           look_at = excluded.look_at, attempts = 0""",
        provider=provider,
        provider_id=repository.id,
        full_name=repository.full_name,
        clone_url=repository.clone_url,
        default_branch=repository.default_branch,
        pushed_at=repository.pushed_at,
        now=now,
    )


async def look_again(tx: Tx, now: int) -> None:
    """Judge anew what was not taken: a name may be free now."""
    await tx.run("UPDATE own_configs SET look_at = :now, attempts = 0 WHERE problems <> '[]'", now=now)


async def due(tx: Tx, now: int, limit: int) -> list[OwnConfig]:
    rows = await tx.all(
        "SELECT * FROM own_configs WHERE look_at <= :now ORDER BY look_at, provider_id LIMIT :limit",
        now=now,
        limit=limit,
    )
    return [_own_config(row) for row in rows]


async def get(tx: Tx, provider: str, provider_id: int) -> OwnConfig | None:
    row = await tx.one(
        "SELECT * FROM own_configs WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
    )
    return _own_config(row) if row else None


async def repositories(tx: Tx, provider: str) -> dict[int, Repository]:
    """Those that are known, by the provider's id."""
    rows = await tx.all(
        """SELECT provider_id, full_name, clone_url, default_branch, pushed_at FROM own_configs
           WHERE provider = :provider""",
        provider=provider,
    )
    return {row["provider_id"]: _repository(row) for row in rows}


async def in_force(tx: Tx) -> list[OwnConfig]:
    """Those that define something, in the order in which they were first known."""
    rows = await tx.all("SELECT * FROM own_configs WHERE text IS NOT NULL ORDER BY repository_id")
    return [_own_config(row) for row in rows]


async def troubled(tx: Tx) -> list[OwnConfig]:
    """Those of which the newest was not taken, or could not be read."""
    rows = await tx.all("SELECT * FROM own_configs WHERE problems <> '[]' OR trouble IS NOT NULL ORDER BY full_name")
    return [_own_config(row) for row in rows]


async def looked(tx: Tx, own: OwnConfig) -> None:
    """It was read; where somebody wants it looked at again meanwhile, that stands."""
    await tx.run(
        """UPDATE own_configs SET trouble = NULL, attempts = 0,
             look_at = CASE WHEN look_at = :look_at THEN NULL ELSE look_at END
           WHERE provider = :provider AND provider_id = :provider_id""",
        provider=own.provider,
        provider_id=own.repository.id,
        look_at=own.look_at,
    )


async def put_off(tx: Tx, own: OwnConfig, until: int, trouble: str | None) -> None:
    """It could not be read. Without ``trouble``: it was not tried."""
    await tx.run(
        """UPDATE own_configs SET look_at = :until, attempts = attempts + :tried, trouble = COALESCE(:trouble, trouble)
           WHERE provider = :provider AND provider_id = :provider_id AND look_at = :look_at""",
        provider=own.provider,
        provider_id=own.repository.id,
        look_at=own.look_at,
        until=until,
        tried=int(trouble is not None),
        trouble=trouble,
    )


async def judged(
    tx: Tx, own: OwnConfig, repository_id: int | None, judged_sha: str | None, problems: tuple[str, ...]
) -> None:
    await tx.run(
        """UPDATE own_configs SET repository_id = :repository_id, judged_sha = :judged_sha, problems = :problems
           WHERE provider = :provider AND provider_id = :provider_id""",
        provider=own.provider,
        provider_id=own.repository.id,
        repository_id=repository_id,
        judged_sha=judged_sha,
        problems=msgspec.json.encode(problems).decode(),
    )


async def take(tx: Tx, own: OwnConfig, sha: str | None, text: str | None) -> None:
    """What is in force from now on."""
    await tx.run(
        """UPDATE own_configs SET sha = :sha, text = :text
           WHERE provider = :provider AND provider_id = :provider_id""",
        provider=own.provider,
        provider_id=own.repository.id,
        sha=sha,
        text=text,
    )


async def trouble(tx: Tx, repository_id: int, problem: str) -> None:
    await tx.run(
        "UPDATE own_configs SET trouble = :problem WHERE repository_id = :repository_id",
        repository_id=repository_id,
        problem=problem,
    )


async def forget(tx: Tx, provider: str, provider_id: int) -> None:
    await tx.run(
        "DELETE FROM own_configs WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
    )


# Names of apps


async def deployed_last(tx: Tx, app_id: int) -> int | None:
    """The repository of the app's newest deploy."""
    row = await tx.one(
        """SELECT d.repository_id FROM apps a JOIN deploys d ON d.app_id = a.id AND d.number = a.last_number
           WHERE a.id = :app_id""",
        app_id=app_id,
    )
    return row["repository_id"] if row else None


async def take_name(tx: Tx, app_id: int, repository_id: int) -> None:
    """The app is this repository's, which defines it itself."""
    await tx.run(
        """UPDATE apps SET defined_by = :repository_id, repository_id = :repository_id, withdrawn = NULL
           WHERE id = :app_id""",
        app_id=app_id,
        repository_id=repository_id,
    )


async def withdraw(tx: Tx, app_id: int, why: str) -> None:
    """Its config is not in force any more. A name that nothing was deployed under is free again."""
    await tx.run("UPDATE apps SET withdrawn = :why, source = NULL WHERE id = :app_id", app_id=app_id, why=why)
    await tx.run(
        """UPDATE apps SET defined_by = NULL, repository_id = NULL, withdrawn = NULL
           WHERE id = :app_id AND last_number = 0""",
        app_id=app_id,
    )


async def yield_name(tx: Tx, app_id: int) -> None:
    """The operator's config defines the app now, for a repository that is yet to be found."""
    await tx.run(
        "UPDATE apps SET defined_by = NULL, repository_id = NULL, withdrawn = NULL WHERE id = :app_id", app_id=app_id
    )
