"""What Kedge writes on a pull request: how a deploy goes, and answers to commands. Pure: facts in, Markdown out."""

from collections.abc import Sequence

from ghapp.core import sentences
from ghapp.core.answers import Answer
from ghapp.core.chat import USAGE
from ghapp.core.values import Commit
from ghapp.notify.facts import SIGNS, Progress, Shipped
from ghapp.notify.markdown import code, link, text

#: GitHub takes 65,536 characters: https://docs.github.com/en/rest/issues/comments
LIMIT = 60_000


def deploy_marker(request: str) -> str:
    """By this the comment of a deploy is found again where the answer to its creation was lost."""
    return f"<!-- kedge:deploy:{request} -->"


def answer_marker(comment_id: int) -> str:
    return f"<!-- kedge:answer:{comment_id} -->"


def progress(of: Progress) -> str:
    """The comment of a deploy, as it is now."""
    what = f"{code(sentences.short(of.sha))}"
    if of.ref != of.sha:
        what += f" ({code(of.ref)})"
    doing = "" if of.task == "deploy" else f"{text(of.task)}: "
    parts = [
        f"{deploy_marker(of.request)}\n{SIGNS[of.state]} **{link(text(of.name), of.page)}** {doing}{what} to "
        f"**{text(of.environment)}**, asked for by {text(of.user)}",
        _standing(of),
        _shipped(of.shipped),
        " · ".join([link("Log", of.page), *([link("Environment", of.environment_url)] if of.environment_url else [])]),
        ways(of.ways),
    ]
    return _joined(parts)


def _standing(of: Progress) -> str:
    if not of.blockers:
        return text(of.sentence)
    return "\n".join(f"- {link(text(one.message), one.url)}" for one in of.blockers)


def _shipped(of: Shipped) -> str:
    if of.note or not of.count:
        return text(of.note or "")
    counted = f"{of.count} commit{'s' if of.count != 1 else ''} since {text(of.since)}"
    more = [f"- … and {of.count - len(of.commits)} more"] if of.count > len(of.commits) else []
    return "\n".join([f"Ships {link(counted, of.url)}:", "", *(f"- {_commit(one)}" for one in of.commits), *more])


def _commit(one: Commit) -> str:
    return f"{link(code(sentences.short(one.sha)), one.url)} {text(one.message)} ({text(one.author)})"


def ways(commands: Sequence[str]) -> str:
    """The commands that lead on, each fit to be copied."""
    return f"What can be done: {', '.join(code(f'/{one}') for one in commands)}" if commands else ""


def answered(answer: Answer, comment_id: int, who: str) -> str:
    """What a command is answered where no deploy tells of it. The asker is named, and not called."""
    first, *more = (link(text(one.text), one.url) for one in answer.lines)
    begin = f"{answer_marker(comment_id)}\n{text(who)}: {first}"
    return _joined([begin, "\n".join(f"- {one}" for one in more), ways(answer.ways)])


def help_page(comment_id: int, environments: Sequence[str]) -> str:
    """Every command, and where one may deploy to."""
    rows = [f"| {code(f'/{usage}')} | {text(meaning)} |" for usage, meaning in USAGE.values()]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    where = "\n".join(f"- {text(one)}" for one in environments)
    note = "A command stands at the beginning of a line, one in a comment. Edited comments do nothing."
    return _joined([f"{answer_marker(comment_id)}\n{note}", table, where])


def _joined(parts: Sequence[str]) -> str:
    whole = "\n\n".join(part for part in parts if part)
    return whole if len(whole) <= LIMIT else whole[: LIMIT - 1] + "…"
