"""`python -m ghapp.sandbox`: the sandbox as a process of its own.

Prints one JSON line with its addresses and where it wrote the App's key and webhook secret, then runs
until it is interrupted or terminated.
"""

import argparse
import asyncio
import json
import os
import signal
from pathlib import Path

from .server import Sandbox


def write_secret(path: Path, text: str) -> str:
    """Write a file that only its owner may read; returns its path."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return str(path)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m ghapp.sandbox", description="A GitHub in a box.")
    made.add_argument("--folder", type=Path, required=True, help="where repositories and keys are kept")
    made.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    made.add_argument("--repository", default="acme/hello", help="a repository to begin with")
    made.add_argument("--private", action="store_true", help="make it a private one")
    made.add_argument("--from", dest="source", type=Path, help="a folder with its files (default: a sample)")
    made.add_argument("--user", default="ana", help="a person who may push to it")
    made.add_argument("--owner", default="olga", help="owns its organization, and is signed in on the pages")
    made.add_argument("--webhook-url", help="where the App's webhooks go (can be set later)")
    return made


async def run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    async with Sandbox(folder, port=options.port) as gh:
        gh.add_repository(options.repository, private=options.private, from_folder=options.source)
        gh.set_permission(options.repository, options.user, "write")
        owner = options.repository.partition("/")[0]
        gh.add_organization(owner, [options.owner])
        gh.world.browser = options.owner
        keys = gh.add_app(owner=owner, webhook_url=options.webhook_url)
        installation = gh.install(keys.id, [options.repository])
        about = {
            "url": gh.url,
            "api_url": gh.api_url,
            "control_url": f"{gh.url}/_sandbox",
            "repository": options.repository,
            "clone_url": f"{gh.git_url}/{options.repository}.git",
            "app_id": keys.id,
            "client_id": keys.client_id,
            "app_slug": keys.slug,
            "installation_id": installation.id,
            "private_key_file": write_secret(folder / "app.pem", keys.private_key),
            "webhook_secret_file": write_secret(folder / "webhook-secret", keys.webhook_secret),
            "owner": options.owner,
            "user": options.user,
            "user_token_file": write_secret(folder / "user-token", gh.personal_token(options.user)),
        }
        print(json.dumps(about), flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(parser().parse_args()))
