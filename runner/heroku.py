"""Deploys the workspace to Heroku: `python -I heroku.py deploy|rollback APP SHA`, run in the checkout.

The supervisor owns it like any other command. It ends with 0 only when the *release* succeeded; TERM cancels the build.
"""

import argparse
import asyncio
import hashlib
import os
import signal
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

if not __package__:  # run by path, in a folder whose files are not to be imported
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from ghapp.vcs.session import open_session
from runner.heroku_api import API_URL, Heroku, HerokuError, Unreachable
from runner.secrets import HEROKU_KEY

URL = "HEROKU_API_URL"

POLL_S = 2.0
RELEASE_WITHIN_S = 120.0
"""A build that succeeded gets its release within moments."""
LOST_S = 600.0
"""Heroku goes on without us: so long an outage, or a used-up rate limit, is sat out before a build or a release counts
as lost."""


def argv(task: str, app: str, sha: str) -> tuple[str, ...]:
    """What the supervisor executes. Nothing of it is secret: the key comes in the environment."""
    return (
        sys.executable,
        "-I",
        str(Path(__file__).resolve()),
        "rollback" if task == "rollback" else "deploy",
        app,
        sha,
    )


class Deployer:
    """One deploy of one checkout. ``building`` is the build under way, which a cancel ends; ``releasing`` from when on
    none can."""

    def __init__(self, heroku: Heroku, tree: Path, sha: str, poll_s: float = POLL_S) -> None:
        self.building: str | None = None
        self.releasing = False
        self._heroku = heroku
        self._tree = tree
        self._sha = sha
        self._poll_s = poll_s

    async def deploy(self) -> None:
        """Upload, build, release. Raises HerokuError."""
        source = (await self._heroku.ask("POST", "/sources"))["source_blob"]
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "source.tar.gz"
            checksum = await asyncio.to_thread(pack, self._tree, archive)
            say(f"Uploading the source ({archive.stat().st_size / 1e6:.1f} MB).")
            await self._heroku.upload(source["put_url"], archive)
        blob = {"url": source["get_url"], "checksum": f"SHA256:{checksum}", "version": self._sha}
        build = await self._begun({"source_blob": blob})
        await self._show(build.get("output_stream_url"))
        build = await self._until_done(f"/builds/{build['id']}")
        self.building, self.releasing = None, build["status"] == "succeeded"
        if build["status"] != "succeeded":
            raise HerokuError("The build failed; what the buildpack says about it is above.")
        await self._released(await self._release_of(build))

    async def rollback(self) -> None:
        """To the release that this sha had; where Heroku does not know it any more, build it anew."""
        release = await self._earlier()
        if release is None:
            say(f"Heroku has no release of {self._sha} to go back to; it is built anew.")
            await self.deploy()
            return
        say(f"Going back to v{release['version']}.")
        self.releasing = True
        await self._released(await self._heroku.ask("POST", "/releases", {"release": release["id"]}))

    async def cancel(self) -> None:
        """Raises HerokuError."""
        if self.building:
            say("Cancelling the build.")
            await self._heroku.cancel(self.building)
        elif self.releasing:
            say("The release could not be stopped any more: look at the app's activity; a rollback takes it back.")

    async def _begun(self, body: dict[str, Any]) -> dict[str, Any]:
        """The build that was asked for. Cancelled meanwhile, it is known all the same: else it would go live."""
        asking = asyncio.ensure_future(self._heroku.ask("POST", "/builds", body))
        try:
            await asyncio.wait({asking})
        finally:
            self.building = (await asking)["id"]
        return dict(asking.result())

    async def _released(self, release: dict[str, Any]) -> None:
        await self._show(release.get("output_stream_url"))
        release = await self._until_done(f"/releases/{release['id']}")
        version = f"v{release['version']}"
        if release["status"] != "succeeded":
            ended = {"failed": "failed", "expired": "did not end in time"}.get(release["status"], release["status"])
            raise HerokuError(
                f"The release phase of {version} {ended}; what it wrote is above. The release before goes on."
            )
        slug = (release.get("slug") or {}).get("id", "unknown")
        say(f"Heroku runs {version} (slug {slug}).")

    async def _release_of(self, build: dict[str, Any]) -> dict[str, Any]:
        """`release` is null for a moment after a build."""
        for _ in range(max(1, round(RELEASE_WITHIN_S / POLL_S))):
            if build.get("release"):
                return await self._heard(f"/releases/{build['release']['id']}")
            await asyncio.sleep(self._poll_s)
            build = await self._heard(f"/builds/{build['id']}")
        raise HerokuError("The build succeeded, but Heroku made no release of it. Look at the app's activity.")

    async def _until_done(self, path: str) -> dict[str, Any]:
        while True:
            found = await self._heard(path)
            if found["status"] != "pending":
                return found
            await asyncio.sleep(self._poll_s)

    async def _heard(self, path: str) -> dict[str, Any]:
        """What there is, also after an outage. Raises HerokuError."""
        asked_at = time.monotonic()
        while True:
            try:
                return dict(await self._heroku.ask("GET", path))
            except Unreachable:
                if time.monotonic() - asked_at >= LOST_S:
                    raise
            await asyncio.sleep(self._poll_s)

    async def _earlier(self) -> dict[str, Any] | None:
        builds = [one async for one in self._heroku.listed("/builds") if one["source_blob"].get("version") == self._sha]
        for build in sorted(builds, key=lambda one: str(one["created_at"]), reverse=True):
            if build["status"] == "succeeded" and build.get("release"):
                release = await self._heroku.ask("GET", f"/releases/{build['release']['id']}")
                if release["status"] == "succeeded":
                    return dict(release)
        return None

    async def _show(self, url: str | None) -> None:
        if url:
            async for piece in self._heroku.stream(url):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()


def pack(tree: Path, archive: Path) -> str:
    """Everything of the checkout but git's own, with submodules and files of LFS; the archive's SHA-256."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if Path(member.name).name == ".git" else member

    with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
        for path in sorted(tree.iterdir()):
            tar.add(path, arcname=path.name, filter=wanted)
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def run(action: str, app: str, sha: str) -> int:
    """The exit code. TERM cancels what is under way."""
    async with open_session() as session:
        heroku = Heroku(session, url=os.environ.get(URL, API_URL), key=os.environ[HEROKU_KEY], app=app)
        deployer = Deployer(heroku, Path.cwd(), sha)
        work = asyncio.ensure_future(deployer.rollback() if action == "rollback" else deployer.deploy())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        try:
            await work
        except HerokuError as error:
            say(str(error))
            return 1
        except OSError as error:
            say(f"The source could not be packed on the runner: {error.strerror}.")
            return 1
        except asyncio.CancelledError:
            try:
                await deployer.cancel()
            except HerokuError as error:
                say(f"The build could not be cancelled, and may go live: look at the app's activity. {error}")
            return 128 + signal.SIGTERM
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="heroku.py")
    parser.add_argument("action", choices=["deploy", "rollback"])
    parser.add_argument("app")
    parser.add_argument("sha")
    asked = parser.parse_args()
    return asyncio.run(run(asked.action, asked.app, asked.sha))


if __name__ == "__main__":
    sys.exit(main())
