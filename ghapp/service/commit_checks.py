"""Where the checks of a commit are asked for: by the app's own command, else at the host, where that knows of any."""

from ghapp.core import commands
from ghapp.core.config import EnvironmentConfig
from ghapp.core.values import Repository
from ghapp.service.context import Context
from ghapp.vcs.checks_command import ChecksCommand
from ghapp.vcs.provider import Checks


def source(
    ctx: Context, app: str, via: str, repository: Repository, config: EnvironmentConfig, *, sha: str, ref: str
) -> Checks | None:
    """None: nobody knows of any check."""
    if config.checks_command:
        about = commands.Commit(app=app, env=config.name, sha=sha, ref=ref)
        return ChecksCommand(commands.render(config.checks_command, about), commands.environment(about))
    return ctx.providers[via].checks(repository)
