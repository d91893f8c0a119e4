"""The commands and their arguments. What each does is in the modules that ``run`` names."""

import argparse
import re
from typing import TYPE_CHECKING

from ghapp.cli.parser import Parser
from ghapp.core.actors import SCOPES

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

FORCES = ("checks", "lock", "all")


def add_parsers(commands: "Commands") -> None:
    """Add every command that talks to the API."""
    _looking(commands)
    _deploying(commands)
    _acting(commands)
    _locking(commands)
    _tokens(commands)
    login = commands.add_parser(
        "login",
        help="store where Kedge is and the token it knows you by",
        description="Ask for the token (or read it from stdin), try it, and store both for later commands.",
        epilog=_examples("kedge login https://kedge.example.com", "kedge login < token.txt"),
    )
    login.add_argument("url", nargs="?", metavar="URL", help="base URL of the app (default: KEDGE_URL, or as before)")
    add_json(login)


def _looking(commands: "Commands") -> None:
    status = _add(
        commands,
        "status",
        "what is live, what runs, what waits and why, what is locked",
        "kedge status",
        "kedge status hello",
        "kedge status --json | jq .",
    )
    status.add_argument("app", nargs="?", metavar="APP", type=_name, help="only this app")
    queue = _add(
        commands,
        "queue",
        "the line of an app, in order, with what each waits for and when it may begin",
        "kedge queue hello",
        "kedge queue hello --env production",
    )
    queue.add_argument("app", metavar="APP", type=_name)
    _environment(queue)
    why = _add(
        commands,
        "why",
        "why a deploy, or the first in line, is not deployed yet",
        "kedge why hello 12",
        "kedge why hello#12",
        "kedge why hello --env production",
    )
    _one_deploy(why)
    _environment(why)
    log = _add(commands, "log", "the log of a deploy", "kedge log hello 12", "kedge log -f hello#12", json=False)
    _one_deploy(log)
    log.add_argument("-f", "--follow", action="store_true", help="go on until the deploy has ended")


def _deploying(commands: "Commands") -> None:
    deploy = _add(
        commands,
        "deploy",
        "ask for a deploy",
        "kedge deploy hello --env staging --follow",
        "kedge deploy hello --env production --ref release/2",
        "kedge deploy hello --env production --force checks",
        note="With --follow the exit code is the command's own: 0 if the deploy succeeded. Ctrl-C leaves it running.",
    )
    deploy.add_argument("app", metavar="APP", type=_name)
    _environment(deploy)
    deploy.add_argument("--ref", metavar="REF", help="branch, tag or sha (default: the branch of automatic deploys, "
                        "else the repository's default branch)")  # fmt: skip
    deploy.add_argument("--sha", metavar="SHA", type=_sha, help="exactly this commit")
    deploy.add_argument("--task", metavar="TASK", help="another task of the app's config than `deploy`")
    _passing(deploy)
    _follow(deploy)
    retry = _add(commands, "retry", "the same commit, environment and task again", "kedge retry hello 12 --follow")
    _one_deploy(retry)
    _follow(retry)
    rollback = _add(
        commands,
        "rollback",
        "deploy what was live before; automatic deploys wait until `kedge resume`",
        "kedge rollback hello --env production",
        "kedge rollback hello --env production --to 12 --follow",
    )
    rollback.add_argument("app", metavar="APP", type=_name)
    _environment(rollback)
    rollback.add_argument("--to", metavar="NUMBER", type=_number, help="the deploy to go back to")
    _passing(rollback)
    _follow(rollback)


def _acting(commands: "Commands") -> None:
    end = "end a deploy, waiting or running"
    _one_deploy(_add(commands, "cancel", end, "kedge cancel hello 12", "kedge cancel hello#12"))
    force = _add(
        commands,
        "force",
        "let a waiting deploy pass checks or a lock, from the front of the line",
        "kedge force hello 12",
        "kedge force hello 12 --past lock",
    )
    _one_deploy(force)
    force.add_argument("--past", choices=FORCES, default="checks", help="what to pass (default: checks)")
    dead = "give up on a deploy whose runner is lost for good, so that its environment is free"
    _one_deploy(_add(commands, "declare-dead", dead, "kedge declare-dead hello 12"))
    resume = _add(
        commands,
        "resume",
        "let automatic deploys flow again after a rollback",
        "kedge resume hello --env production",
    )
    resume.add_argument("app", metavar="APP", type=_name)
    _environment(resume)


def _locking(commands: "Commands") -> None:
    lock = _add(
        commands,
        "lock",
        "hold an environment: what waits there stays, what runs goes on",
        'kedge lock hello production --reason "database is being moved" --for 2h',
        'kedge lock hello production --reason "release day" --until 18:00',
        'kedge lock hello --all-environments --reason "incident 42"',
        'kedge lock --everything --reason "network maintenance"',
    )
    _what_to_lock(lock)
    lock.add_argument("--reason", required=True, metavar="WHY", help="shown to everybody who waits")
    ends = lock.add_mutually_exclusive_group()
    ends.add_argument("--for", dest="lasting", metavar="TIME", help="released by itself after 30m, 2h, 1d")
    ends.add_argument(
        "--until", metavar="TIME", help="released by itself at 18:00, 2026-11-23T14:00 (local) or …T14:00Z"
    )
    unlock = _add(
        commands,
        "unlock",
        "release a lock",
        "kedge unlock hello production",
        "kedge unlock hello --all-environments",
        "kedge unlock --everything",
    )
    _what_to_lock(unlock)


def _tokens(commands: "Commands") -> None:
    token = _add(
        commands,
        "token",
        "create, list and revoke tokens",
        "kedge token create ci --owner ana --scope read --scope deploy --app hello --expires 90d",
        "kedge token create runner-eu --owner ana --scope runner --label eu",
        "kedge token list",
        "kedge token revoke 7",
        json=False,
        note="It takes a token with the scope admin; the token in use may be revoked with itself.",
    )
    actions = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = _add(actions, "create", "make one; its secret is shown this once", "kedge token create ci --owner ana "
                  "--scope deploy --app hello --env staging --expires 90d")  # fmt: skip
    create.add_argument("name", metavar="NAME", help="what it is for")
    create.add_argument("--owner", required=True, metavar="LOGIN", help="who acts with it")
    for option, named, does in (
        ("--scope", "scopes", f"what for: {', '.join(SCOPES)}; again for more"),
        ("--app", "apps", "only this app (for runners also owner/repo); again for more"),
        ("--env", "environments", "only this environment; again for more"),
        ("--label", "labels", "label of the runners that present it; again for more"),
    ):
        required, shown = option == "--scope", option[2:].upper()
        create.add_argument(option, dest=named, action="append", required=required, metavar=shown, help=does)
    create.add_argument("--expires", metavar="TIME", help="ends by itself after 12h, 90d, 52w (default: never)")
    _add(actions, "list", "all of them, newest first, without their secrets", "kedge token list")
    revoke = _add(actions, "revoke", "end one at once", "kedge token revoke 7")
    revoke.add_argument("id", metavar="ID", type=_number, help="its number, as in `kedge token list`")


def _what_to_lock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", nargs="?", metavar="APP", type=_name)
    parser.add_argument("environment", nargs="?", metavar="ENV", type=_name)
    parser.add_argument("--all-environments", action="store_true", help="the app, whatever the environment")
    parser.add_argument("--everything", action="store_true", help="every app and environment")


def _add(commands: "Commands", name: str, does: str, *examples: str, json: bool = True, note: str = "") -> Parser:
    parser = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.{' ' if note else ''}{note}",
        epilog=_examples(*examples),
    )
    if json:
        add_json(parser)
    return parser


def _examples(*examples: str) -> str:
    return "examples:\n" + "\n".join(f"  {one}" for one in examples)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        action=argparse.BooleanOptionalAction,
        help="the answer as JSON, the default where stdout is no terminal",
    )


def _environment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-e", "--env", metavar="ENV", type=_name, help="environment (default: the only one, else production)"
    )


def _follow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="show the log live; exit as the deploy does")


def _passing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", choices=FORCES, help="pass red or pending checks, a lock, or both")
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="wait in line where it is locked (the default), or be refused",
    )


def _one_deploy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", type=_name, help="APP, or APP#NUMBER")
    parser.add_argument("number", nargs="?", metavar="NUMBER", type=_number)


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or text in {".", ".."}:
        raise argparse.ArgumentTypeError("a name is needed here")
    return text


def _sha(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{7,64}", text):
        raise argparse.ArgumentTypeError("at least 7 digits of a commit's sha are needed here; --ref takes names")
    return text


def _number(text: str) -> int:
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise argparse.ArgumentTypeError(f"a number is needed here, not {text!r}")
    return int(digits)
