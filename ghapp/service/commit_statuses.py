"""What is wrong with a repository's own config is shown at the commit that broke it."""

import structlog

from ghapp.core import own_config
from ghapp.core.remote import RemoteError
from ghapp.core.values import Repository
from ghapp.service.attempts import Fate, judge, retry_ms
from ghapp.service.context import Context
from ghapp.store import outbox, own_configs
from ghapp.store.base import Tx
from ghapp.store.outbox import Notice
from ghapp.vcs.files import RepositoryFiles

log = structlog.get_logger(__name__)


async def deliver(ctx: Context, files: RepositoryFiles | None, repository: Repository, notice: Notice) -> None:
    """Write the status; where the answer is lost it is written again, which changes nothing: the newest of a context
    counts. A refusal is told where the config's problems are."""
    try:
        if files:
            await files.create_commit_status(notice.commit_status)
    except RemoteError as error:
        attempt = judge(error)
        if attempt.fate is not Fate.REFUSED:
            wait_ms = attempt.wait_ms if attempt.wait_ms is not None else retry_ms(notice.attempts)
            await ctx.stores.main.write(
                lambda tx: outbox.postpone(tx, notice.id, ctx.now() + wait_ms, unsure=False, problem=attempt.problem)
            )
            return
        log.warning("commit status not written", repository=repository.full_name, why=error.message)
        problem = own_config.not_shown(error.message)

        async def refused(tx: Tx) -> None:
            await outbox.end(tx, notice.id, "failed", problem)
            await own_configs.trouble(tx, notice.repository_id, problem)

        await ctx.stores.main.write(refused)
        return
    await ctx.stores.main.write(lambda tx: outbox.end(tx, notice.id, "done"))
