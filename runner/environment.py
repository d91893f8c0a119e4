"""The environment of a command, built from nothing: what is not named here, the command does not see."""

from collections.abc import Iterable, Mapping

from ghapp import wire
from runner.admission import NEVER

BASE = ("PATH", "HOME", "LANG")


def build(job: wire.Job, *, environ: Mapping[str, str], shared: Iterable[str]) -> dict[str, str]:
    """The command's environment.

    ``environ`` is the runner's own; of it a command gets PATH, HOME and LANG, the names in ``shared``
    (KEDGE_RUNNER_ENV), and the secrets that the job names. Kedge's variables come last: nothing redefines them.
    """
    names = [name for name in (*BASE, *shared, *job.secrets) if name in environ and name not in NEVER]
    secrets = {name: environ[name] for name in names if name in job.secrets}
    return {
        **{name: environ[name] for name in names},
        "PYTHONUNBUFFERED": "1",
        **job.env,
        **secrets,
        **job.variables,
        "KEDGE_LOG_URL": job.log_url,
    }
