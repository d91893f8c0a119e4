"""Pull requests and comments at the control door."""

from .box import Box
from .control_form import Form
from .state import Json


def open_pull_request(box: Box, form: Form, repository: str) -> Json:
    made = box.open_pull_request(
        repository,
        form.text("head"),
        base=form.text("base", "main"),
        by=form.text("by", "ana"),
        fork=form.text("fork") if form.values.get("fork") else None,
    )
    return {"number": made.number, "sha": made.head_sha}


def comment(box: Box, form: Form, repository: str) -> Json:
    made = box.comment(repository, form.number("number"), form.text("body"), by=form.text("by", "ana"))
    return {"id": made.id, "number": made.number}


def list_comments(box: Box, form: Form, repository: str) -> list[Json]:
    found = box.comments(repository, form.number("number"))
    return [{"id": c.id, "by": c.author.login, "body": c.body, "reactions": box.reactions(c.id)} for c in found]
