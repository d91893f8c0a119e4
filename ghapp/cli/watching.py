"""A deploy looked at again and again, with the estimate of when it begins and ends."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ghapp.cli.client import Client, decoded, path
from ghapp.cli.errors import CommandError, Refused, Unreachable
from ghapp.cli.shapes import Deploy, Estimate, Line
from ghapp.cli.stream import Broken, Trouble

#: How often the deploy is looked at; sooner when its log says that something happens, but not sooner than this.
LOOK_EVERY_S = 2.0
REST_S = 0.3
#: How often the estimate of one that waits is asked for; of one that runs, it is asked for until there is one.
ESTIMATE_EVERY_S = 10.0
#: The longest line that is read for an estimate; one farther back is not told.
_LINE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Looked:
    """How it stands."""

    deploy: Deploy
    estimate: Estimate | None


class Watcher:
    """Tells how a deploy stands, in a thread of its own, until the process ends or it makes no sense any more."""

    def __init__(self, client: Client, deploy: Deploy, tell: Callable[[object], None]) -> None:
        self._client = client
        self._deploy = deploy
        self._tell = tell
        self._now = threading.Event()
        self._failed_before = False
        self._estimate: Estimate | None = None
        self._estimated_for = ""
        self._estimate_again_at = 0.0

    def start(self) -> None:
        """A daemon: where nobody listens any more, nothing waits for it."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def look_now(self) -> None:
        """Somebody knows that something has happened."""
        self._now.set()

    def _run(self) -> None:
        while True:
            pause_s = LOOK_EVERY_S
            try:
                self._look()
            except (Refused, Unreachable) as error:
                if isinstance(error, Refused) and not error.passing:
                    self._tell(Broken(error))
                    return
                pause_s = self._failed(error)
            except CommandError as error:
                self._tell(Broken(error))
                return
            time.sleep(REST_S)
            self._now.wait(pause_s)
            self._now.clear()

    def _look(self) -> None:
        where = path(self._deploy.app, "deploys", self._deploy.number)
        deploy = decoded(self._client.get(where), Deploy)
        self._tell(Looked(deploy, self._estimate_of(deploy)))
        if self._failed_before:
            self._tell(Trouble("watch", None))
        self._failed_before = False

    def _failed(self, error: Refused | Unreachable) -> float:
        """Told from the second time on; the seconds to wait."""
        if self._failed_before:
            self._tell(Trouble("watch", error.message))
        self._failed_before = True
        return (error.retry_after_s if isinstance(error, Refused) else None) or LOOK_EVERY_S

    def _estimate_of(self, deploy: Deploy) -> Estimate | None:
        """What was told at first of one that runs: told later it would follow the clock. None where there is none."""
        if deploy.state != self._estimated_for:
            self._estimate, self._estimated_for, self._estimate_again_at = None, deploy.state, 0.0
        settled = deploy.ended or (deploy.state == "running" and self._estimate is not None)
        if not settled and time.monotonic() >= self._estimate_again_at:
            self._estimate_again_at = time.monotonic() + ESTIMATE_EVERY_S
            self._estimate = self._ask_estimate(deploy)
        return self._estimate

    def _ask_estimate(self, deploy: Deploy) -> Estimate | None:
        """The line up to the deploy says it; without it, following goes on as well."""
        length = (deploy.position or 0) + 1
        if length > _LINE_LIMIT:
            return None
        asked = {"env": deploy.environment, "limit": str(length)}
        try:
            line = decoded(self._client.get(path(deploy.app, "queue"), asked), Line)
        except CommandError:
            return None
        return next((one.estimate for one in line.items if one.number == deploy.number), None)
