"""The environment of a command, built from nothing: what is not named here, the command does not see."""

from collections.abc import Iterable, Mapping

from ghapp import wire
from ghapp.core.commands import BASE
from runner.secrets import NEVER

WAY_OUT = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")
"""What Kedge's own calls need to get out; commands ask for it by KEDGE_RUNNER_ENV."""

REPO_TOKEN = "KEDGE_REPO_TOKEN"  # noqa: S105  a name, no secret
"""Where an environment says ``token: true``, its commands find the repository's token here."""


def build(
    job: wire.Job, *, environ: Mapping[str, str], shared: Iterable[str], secrets: Mapping[str, str]
) -> dict[str, str]:
    """The command's environment.

    ``environ`` is the runner's own; of it a command gets PATH, HOME and LANG and the names in ``shared``
    (KEDGE_RUNNER_ENV). ``secrets`` are those of the job. Kedge's variables come last: nothing redefines them.
    """
    names = [name for name in (*BASE, *shared) if name in environ and name not in NEVER]
    if job.heroku:
        names += [name for name in ("HEROKU_API_URL", *WAY_OUT) if name in environ]
    token = {REPO_TOKEN: job.repo_token.value} if job.token and job.repo_token else {}
    return {
        **{name: environ[name] for name in names},
        "PYTHONUNBUFFERED": "1",
        **job.env,
        **secrets,
        **job.variables,
        "KEDGE_LOG_URL": job.log_url,
        **token,
    }
