"""Apps, environments, repositories and runners: where deploys go and who takes them."""

from dataclasses import dataclass

import msgspec

from ghapp.core.actors import ANYTHING, Grant
from ghapp.core.values import Repository
from ghapp.store.base import Row, Tx


@dataclass(frozen=True, slots=True)
class App:
    """``defined_by`` is the repository (our id) that defines it itself, None: the operator does. ``withdrawn`` says why
    what that one defines is not in force."""

    id: int
    name: str
    repository_id: int | None
    defined_by: int | None = None
    withdrawn: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    id: int
    app_id: int
    app: str
    name: str


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner as it last presented itself. ``apps`` is None where it takes all of the operator's; of its wishes
    only those count that are within ``grant``."""

    name: str
    labels: tuple[str, ...]
    apps: tuple[str, ...] | None
    version: str
    boot_id: str
    seen_at: int
    grant: Grant = ANYTHING


_APPS = "SELECT id, name, repository_id, defined_by, withdrawn FROM apps"


def _required(row: Row | None) -> Row:
    if row is None:
        raise RuntimeError("the statement gave no row")
    return row


async def keep_app(tx: Tx, name: str) -> App:
    """The app of that name, made where it is new."""
    await tx.run("INSERT INTO apps (name) VALUES (:name) ON CONFLICT (name) DO NOTHING", name=name)
    return App(**_required(await tx.one(f"{_APPS} WHERE name = :name", name=name)))


async def bind_app(tx: Tx, app_id: int, repository_id: int) -> None:
    await tx.run(
        "UPDATE apps SET repository_id = :repository_id WHERE id = :id", id=app_id, repository_id=repository_id
    )


async def apps_bound_to(tx: Tx, provider: str, provider_id: int) -> list[str]:
    """Names of the apps that are known to live in that repository."""
    rows = await tx.all(
        """SELECT a.name FROM apps a JOIN repositories r ON r.id = a.repository_id
           WHERE r.provider = :provider AND r.provider_id = :provider_id""",
        provider=provider,
        provider_id=provider_id,
    )
    return [row["name"] for row in rows]


async def keep_environment(tx: Tx, app: App, name: str) -> Environment:
    """The environment of that name, made where it is new."""
    await tx.run(
        "INSERT INTO environments (app_id, name) VALUES (:app_id, :name) ON CONFLICT (app_id, name) DO NOTHING",
        app_id=app.id,
        name=name,
    )
    row = _required(
        await tx.one("SELECT id FROM environments WHERE app_id = :app_id AND name = :name", app_id=app.id, name=name)
    )
    return Environment(row["id"], app.id, app.name, name)


async def apps(tx: Tx) -> list[App]:
    return [App(**row) for row in await tx.all(f"{_APPS} ORDER BY name")]


async def app_of(tx: Tx, environment_id: int) -> App:
    """The app of an environment."""
    where = "WHERE id = (SELECT app_id FROM environments WHERE id = :environment_id)"
    return App(**_required(await tx.one(f"{_APPS} {where}", environment_id=environment_id)))


async def environments(tx: Tx) -> list[Environment]:
    rows = await tx.all(
        "SELECT e.id, e.app_id, a.name AS app, e.name FROM environments e JOIN apps a ON a.id = e.app_id ORDER BY e.id"
    )
    return [Environment(**row) for row in rows]


async def environments_of(tx: Tx, app: str) -> list[Environment]:
    """All that an app has or had."""
    rows = await tx.all(
        """SELECT e.id, e.app_id, a.name AS app, e.name FROM apps a JOIN environments e ON e.app_id = a.id
           WHERE a.name = :app ORDER BY e.id""",
        app=app,
    )
    return [Environment(**row) for row in rows]


async def hold_environment(tx: Tx, environment_id: int) -> None:
    """Protocol rule 1: whoever decides about an environment has its row first."""
    await tx.one("SELECT id FROM environments WHERE id = :id FOR UPDATE", id=environment_id)


async def hold_covered(tx: Tx, app_id: int | None, environment_id: int | None) -> list[int]:
    """Take every environment row that a lock of this scope covers, in id order; returns their ids."""
    rows = await tx.all(
        """SELECT id FROM environments
           WHERE (:app_id::bigint IS NULL OR app_id = :app_id)
           AND (:environment_id::bigint IS NULL OR id = :environment_id) ORDER BY id FOR UPDATE""",
        app_id=app_id,
        environment_id=environment_id,
    )
    return [row["id"] for row in rows]


async def keep_repository(tx: Tx, provider: str, repository: Repository, installation_id: int | None = None) -> int:
    """Our id of the repository, with its present name; what is not known now is left as it was."""
    row = await tx.one(
        """INSERT INTO repositories (provider, provider_id, full_name, clone_url, default_branch, installation_id)
           VALUES (:provider, :provider_id, :full_name, :clone_url, :default_branch, :installation_id)
           ON CONFLICT (provider, provider_id) DO UPDATE SET full_name = excluded.full_name,
           clone_url = excluded.clone_url,
           default_branch = COALESCE(excluded.default_branch, repositories.default_branch),
           installation_id = COALESCE(excluded.installation_id, repositories.installation_id) RETURNING id""",
        provider=provider,
        provider_id=repository.id,
        full_name=repository.full_name,
        clone_url=repository.clone_url,
        default_branch=repository.default_branch,
        installation_id=installation_id,
    )
    return int(_required(row)["id"])


async def set_installation(tx: Tx, provider: str, provider_id: int, installation_id: int | None) -> None:
    await tx.run(
        """UPDATE repositories SET installation_id = :installation_id
           WHERE provider = :provider AND provider_id = :provider_id""",
        provider=provider,
        provider_id=provider_id,
        installation_id=installation_id,
    )


async def hold_repository(tx: Tx, repository_id: int) -> None:
    """Those who count events of its shas go one after the other. Who only refers to it is not held up
    (https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS)."""
    await tx.one("SELECT id FROM repositories WHERE id = :id FOR NO KEY UPDATE", id=repository_id)


async def repository(tx: Tx, repository_id: int) -> tuple[str, Repository]:
    """The provider's name and the repository."""
    row = _required(await tx.one("SELECT * FROM repositories WHERE id = :id", id=repository_id))
    return row["provider"], Repository(row["provider_id"], row["full_name"], row["clone_url"], row["default_branch"])


async def repository_names(tx: Tx) -> dict[int, str]:
    return {row["id"]: row["full_name"] for row in await tx.all("SELECT id, full_name FROM repositories")}


async def repository_by_provider_id(tx: Tx, provider: str, provider_id: int) -> int | None:
    row = await tx.one(
        "SELECT id FROM repositories WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
    )
    return row["id"] if row else None


async def repository_of_app(tx: Tx, name: str) -> Repository | None:
    """The repository that an app is bound to."""
    row = await tx.one("SELECT repository_id FROM apps WHERE name = :name AND repository_id IS NOT NULL", name=name)
    return (await repository(tx, row["repository_id"]))[1] if row else None


async def keep_runner(tx: Tx, runner: Runner) -> None:
    await tx.run(
        """INSERT INTO runners (name, labels, apps, version, boot_id, seen_at, granted)
           VALUES (:name, :labels, :apps, :version, :boot_id, :seen_at, :granted)
           ON CONFLICT (name) DO UPDATE SET labels = excluded.labels, apps = excluded.apps,
           version = excluded.version, boot_id = excluded.boot_id, seen_at = excluded.seen_at,
           granted = excluded.granted""",
        name=runner.name,
        labels=msgspec.json.encode(runner.labels).decode(),
        apps=msgspec.json.encode(runner.apps).decode(),
        version=runner.version,
        boot_id=runner.boot_id,
        seen_at=runner.seen_at,
        granted=msgspec.json.encode(runner.grant).decode(),
    )


async def see_runner(tx: Tx, name: str, now: int) -> None:
    await tx.run("UPDATE runners SET seen_at = :now WHERE name = :name", name=name, now=now)


async def runners(tx: Tx) -> list[Runner]:
    return [
        Runner(
            row["name"],
            msgspec.json.decode(row["labels"], type=tuple[str, ...]),
            msgspec.json.decode(row["apps"], type=tuple[str, ...] | None),
            row["version"],
            row["boot_id"],
            row["seen_at"],
            msgspec.json.decode(row["granted"], type=Grant),
        )
        for row in await tx.all("SELECT * FROM runners ORDER BY name")
    ]
