"""``deploy``, ``retry``, ``rollback``: what makes a deploy. ``cancel``, ``force``, ``declare-dead``, ``resume``."""

import argparse
from datetime import UTC, datetime

from rich.text import Text

from ghapp.cli import show
from ghapp.cli.client import Values, decoded, path
from ghapp.cli.errors import EXIT_INTERRUPTED, EXIT_OK, CommandError, Refused
from ghapp.cli.following import follow
from ghapp.cli.shapes import Deploy
from ghapp.cli.targets import one_deploy
from ghapp.cli.terminal import Kit


def deploy(arguments: argparse.Namespace, kit: Kit) -> int:
    """Ask for one."""
    names = ("env", "ref", "sha", "task", "force")
    asked = {**{name: getattr(arguments, name) for name in names}, "wait": arguments.wait}
    return _make(arguments, kit, arguments.app, path(arguments.app, "deploy"), asked)


def retry(arguments: argparse.Namespace, kit: Kit) -> int:
    """The same again."""
    app, number = one_deploy(arguments)
    return _make(arguments, kit, app, path(app, "deploys", number, "retry"), {})


def rollback(arguments: argparse.Namespace, kit: Kit) -> int:
    """Back to what was live before."""
    to = None if arguments.to is None else str(arguments.to)
    asked = {"env": arguments.env, "to": to, "force": arguments.force, "wait": arguments.wait}
    return _make(arguments, kit, arguments.app, path(arguments.app, "rollback"), asked)


def cancel(arguments: argparse.Namespace, kit: Kit) -> int:
    """At once while it waits; while its command runs, it is asked to end."""
    app, number = one_deploy(arguments)
    body = kit.client.send("POST", path(app, "deploys", number, "cancel"))
    known = decoded(body, Deploy)
    said = "is cancelled." if known.ended else "was asked to end; its command is given time to clean up."
    kit.terminal.result(body, lambda: [Text.assemble((known.name, "bold"), f" {said}")])
    return EXIT_OK


def force(arguments: argparse.Namespace, kit: Kit) -> int:
    """Past checks or a lock."""
    app, number = one_deploy(arguments)
    return _shown(kit, kit.client.send("POST", path(app, "deploys", number, "force"), {"force": arguments.past}))


def declare_dead(arguments: argparse.Namespace, kit: Kit) -> int:
    """Give up on a lost one."""
    app, number = one_deploy(arguments)
    return _shown(kit, kit.client.send("POST", path(app, "deploys", number, "declare-dead")))


def resume(arguments: argparse.Namespace, kit: Kit) -> int:
    """Automatic deploys again."""
    body = kit.client.send("POST", path(arguments.app, "resume"), {"env": arguments.env})
    where = f"{arguments.env} of {arguments.app}" if arguments.env else arguments.app
    kit.terminal.result(body or b"null", lambda: [Text(f"Automatic deploys to {where} flow again.")])
    return EXIT_OK


def _make(arguments: argparse.Namespace, kit: Kit, app: str, where: str, asked: Values) -> int:
    """Ask for a deploy, then show it, or follow it to its end."""
    try:
        body = kit.client.send("POST", where, asked, once=True)
    except Refused as error:
        raise _with_way_on(error, f"{app} {getattr(arguments, 'env', None) or 'ENV'}") from error
    except KeyboardInterrupt:
        said = "Interrupted before Kedge answered; it may have been accepted."
        raise CommandError(said, hint=f"See with: kedge queue {app}", code=EXIT_INTERRUPTED) from None
    made = decoded(body, Deploy)
    if not arguments.follow:
        kit.terminal.result(body, lambda: [*show.whole(made, datetime.now(UTC)), _next(made)])
        return EXIT_OK
    for line in (show.headline(made), Text(f"  {made.url}", style="dim")):
        (kit.terminal.err if kit.terminal.as_json else kit.terminal.out).print(line, soft_wrap=True)
    ended, code = follow(kit, made)
    if kit.terminal.asked_for_json:
        kit.terminal.result(kit.client.get(path(ended.app, "deploys", ended.number)), list)
    return code


def _next(made: Deploy) -> Text:
    return Text(f"  Follow it: kedge log -f {made.name}   Cancel it: kedge cancel {made.name}", style="dim")


def _shown(kit: Kit, body: bytes) -> int:
    kit.terminal.result(body, lambda: show.whole(decoded(body, Deploy), datetime.now(UTC)))
    return EXIT_OK


def _with_way_on(error: Refused, where: str) -> Refused:
    """What to do next, in the words of the command line instead of the API's."""
    hints = {
        "locked": f"Wait in line: --wait   Take the lock over: --force lock   Unlock: kedge unlock {where}",
        "checks_failed": "Fix them, or ask again with --force checks.",
    }
    hint = hints.get(error.reason, error.hint)
    return Refused(error.status, error.reason, error.message, hint, error.facts, error.retry_after_s)
