"""What a repository defines itself, in a file on its default branch: whose a name is, and what is said of it. Pure."""

from collections.abc import Collection, Iterable, Sequence

from ghapp.core.config import AppConfig, Problem
from ghapp.core.sentences import joined, short
from ghapp.core.values import DESCRIPTION_LIMIT

PATH = ".github/kedge.yml"
#: The commit status that says what is wrong with it; Kedge leaves its own out of what counts as checks.
CONTEXT = "kedge/config"
#: Problems of one file that are kept: every overview reads them.
MOST_TOLD = 20


def names_taken(apps: Iterable[AppConfig], operators: Collection[str], others: Collection[str]) -> list[Problem]:
    """The apps whose names a repository may not take: the operator's come first, then who was there first."""
    problems = []
    for app in apps:
        if app.name in operators:
            problems.append(
                Problem(app.name, app.line, "the operator's config has an app of this name; choose another")
            )
        elif app.name in others:
            problems.append(Problem(app.name, app.line, "another repository has an app of this name; choose another"))
    return problems


def told(problems: Sequence[str]) -> tuple[str, ...]:
    """The first problems, as they are kept, and how many there are besides."""
    more = len(problems) - MOST_TOLD
    return (*problems[:MOST_TOLD], *([f"and {more} more"] if more > 0 else []))


def described(problems: Sequence[str]) -> str:
    """The first problem, and how many there are besides, as a status description."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    first = " ".join(problems[0].split())
    space = DESCRIPTION_LIMIT - len(more)
    return (first if len(first) <= space else first[: space - 1].rstrip() + "…") + more


def taken(names: Sequence[str]) -> str:
    return f"In force: {joined(names, 5)}."


def not_text() -> Problem:
    return Problem("", 1, "the file is not UTF-8 text; save it as UTF-8")


def no_file(why: str) -> Problem:
    return Problem("", 1, why)


def removed(repository: str, sha: str | None) -> str:
    when = f" in {short(sha)}" if sha else ""
    return f"{repository} defines no app itself any more: {PATH} was removed{when}."


def left_out(app: str, repository: str, sha: str) -> str:
    return f"{PATH} of {repository} does not define {app} any more since {short(sha)}."


def operators_name(app: str) -> str:
    return f"The operator's config defines {app} now."


def not_usable(repository: str) -> str:
    return (
        f"Kedge may not use {repository} any more: it is not installed there, or the account is not among "
        "KEDGE_ACCOUNTS."
    )


def waits(why: str, number: int) -> str:
    """Why a deploy does not run whose config is no longer in force, and the way on."""
    return f"{why} Put that right, or cancel {number}."


def defined_elsewhere(app: str, repository: str, number: int) -> str:
    return f"{app} is no longer defined by {repository} itself; cancel {number} and ask again."


def no_runner(repository: str) -> str:
    return f"No runner accepts what {repository} defines itself; name {repository} in KEDGE_RUNNER_APPS of a runner."


def unreadable(problem: str) -> str:
    return f"{PATH} could not be read, so what was in force stays: {problem}"


def failed() -> str:
    return f"Kedge failed over {PATH}, so what was in force stays; its log says why."


def not_shown(problem: str) -> str:
    return f"The problems could not be shown at the commit, for which the App needs statuses:write: {problem}"
