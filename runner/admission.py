"""What a runner refuses by its own authority, whatever the app hands it: its secrets are not the app's to spend."""

from collections.abc import Sequence

from ghapp import wire
from ghapp.core import sentences
from ghapp.core.values import Blocker, BlockerKind
from ghapp.vcs import registry
from runner.secrets import Secrets


def refusals(job: wire.Job, *, runner: str, accepted: Sequence[str] | None, secrets: Secrets) -> list[Blocker]:
    """Why this runner will not run the job; empty where it will.

    ``accepted`` are apps and ``owner/repo`` (None: every app that the operator's config defines).
    """
    if not accepts(job, accepted):
        return [Blocker(BlockerKind.CONFIG, _not_accepted(job, runner))]
    if job.defined_in == "repository" and ":" in job.repository.provider:
        return [
            Blocker(
                BlockerKind.CONFIG,
                sentences.foreign_provider(runner, job.repository.provider, job.repository.full_name),
            )
        ]
    if problem := _no_provider(job):
        return [Blocker(BlockerKind.CONFIG, problem)]
    if missing := secrets.missing(job):
        return [Blocker(BlockerKind.CONFIG, sentences.no_secrets(runner, f"{job.app}/{job.environment}", missing))]
    return []


def accepts(job: wire.Job, accepted: Sequence[str] | None) -> bool:
    """Is it one of the apps? What a repository defines itself must be named by its ``owner/repo``."""
    names = {name.casefold() for name in accepted or ()}
    if job.repository.full_name.casefold() in names:
        return True
    return job.defined_in == "operator" and (accepted is None or job.app.casefold() in names)


def _not_accepted(job: wire.Job, runner: str) -> str:
    if job.defined_in == "repository":
        return sentences.runner_takes_no_repository(runner, job.repository.full_name)
    return sentences.runner_takes_no_app(runner, job.app)


def _no_provider(job: wire.Job) -> str:
    try:
        registry.provider(job.repository.provider)
    except ValueError as error:
        return str(error)
    return ""
