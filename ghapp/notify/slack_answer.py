"""What one person is answered in Slack. Pure: an answer in, Block Kit out."""

from collections.abc import Sequence

from ghapp.core.answers import Answer
from ghapp.core.chat import USAGE
from ghapp.notify.mrkdwn import code, link, text
from ghapp.notify.slack import Body, section

#: As it is registered in manifests/slack-app.yml.
COMMAND = "/kedge"


def answered(answer: Answer) -> Body:
    """Sentences, and the commands that lead on."""
    lines = [link(text(one.text), one.url) for one in answer.lines]
    ways = [f"What can be done: {', '.join(code(f'{COMMAND} {one}') for one in answer.ways)}"] if answer.ways else []
    shown = [*lines, *ways] or ["Done."]
    return Body(shown[0], (section(shown),))


def help_page(environments: Sequence[str]) -> Body:
    """Every command, and where one may deploy to. An app has to be named where there are several."""
    rows = [f"{code(f'{COMMAND} {usage}')} {text(meaning)}" for usage, meaning in USAGE.values()]
    where = [f"• {text(one)}" for one in environments]
    return Body(f"{COMMAND} understands these:", (section(rows), section(where or ["There is no app for you here."])))
