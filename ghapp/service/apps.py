"""Apps in the database: rows for what the config names, kept when it changes."""

from collections.abc import Iterable

from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.store import places, reconciled
from ghapp.store.base import Tx
from ghapp.store.places import Environment


async def environment_of(tx: Tx, app: AppConfig, config: EnvironmentConfig) -> Environment:
    """The environment's row, made where it is new."""
    return await places.keep_environment(tx, await places.keep_app(tx, app.name), config.name)


async def environment_id(tx: Tx, app: AppConfig, config: EnvironmentConfig) -> int:
    """The id of the environment's row, for reading; 0 where there is none yet, which nothing has."""
    found = (one.id for one in await places.environments(tx) if (one.app, one.name) == (app.name, config.name))
    return next(found, 0)


async def bind(tx: Tx, app: AppConfig, environment: Environment, repository_id: int) -> None:
    """The app lives in that repository. What a repository defines itself is bound when that is put in force, and
    never later: by then the name may be the operator's."""
    if app.own_id is None:
        await places.bind_app(tx, environment.app_id, repository_id)


async def keep_all(tx: Tx, apps: Iterable[AppConfig], now: int) -> None:
    """Rows for every app and environment of a config, so that locks can hold what was never deployed. What
    happened in a repository before it was named here is history."""
    for app in apps:
        for environment in app.environments:
            await environment_of(tx, app, environment)
        await reconciled.watch(tx, app.name, f"{app.via}:{app.repository or app.name}".casefold(), now)
