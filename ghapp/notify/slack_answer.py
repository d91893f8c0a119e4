"""What one person is answered in Slack. Pure: an answer in, Block Kit out."""

from collections.abc import Sequence

from ghapp.core.answers import Answer
from ghapp.core.chat import USAGE
from ghapp.notify.mrkdwn import code, link, text
from ghapp.notify.slack import SECTION_LIMIT, Body, section

#: As it is registered in manifests/slack-app.yml.
COMMAND = "/kedge"


def answered(answer: Answer) -> Body:
    """Sentences, and the commands that lead on, each whole on a line, to be copied."""
    lines = [link(text(one.text), one.url) for one in answer.lines]
    ways = [f"• {code(f'{COMMAND} {one}', SECTION_LIMIT)}" for one in answer.ways]
    shown = [part for part in (lines, ["What can be done:", *ways] if ways else []) if part] or [["Done."]]
    return Body(shown[0][0], tuple(map(section, shown)))


def help_page(environments: Sequence[str]) -> Body:
    """Every command, and where one may deploy to. An app has to be named where there are several."""
    rows = [f"{code(f'{COMMAND} {usage}')} {text(meaning)}" for usage, meaning in USAGE.values()]
    where = [f"• {text(one)}" for one in environments]
    return Body(f"{COMMAND} understands these:", (section(rows), section(where or ["There is no app for you here."])))
