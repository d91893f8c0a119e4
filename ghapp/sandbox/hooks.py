"""Webhooks: signed, sent in the background in order per hook, never retried, kept in a log.

Like GitHub (https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries):
what fails is not sent again unless somebody asks the delivery log to.
"""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import aiohttp

from .state import App, Json, State

# GitHub waits this long for an answer (https://docs.github.com/en/webhooks/using-webhooks/
# best-practices-for-using-webhooks#respond-within-10-seconds).
TIMEOUT_S = 10.0
# https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/viewing-webhook-deliveries
KEPT_MS = 3 * 86_400_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; `status_code` is None until it was made."""

    id: int
    guid: str
    app_id: int
    event: str
    action: str | None
    installation_id: int | None
    repository_id: int | None
    body: bytes = field(repr=False)
    redelivery: bool = False
    delivered_at: int = 0
    duration_s: float = 0.0
    status: str = ""
    status_code: int | None = None
    request_headers: dict[str, str] = field(default_factory=dict, repr=False)
    response_headers: dict[str, str] = field(default_factory=dict, repr=False)
    response_body: str = field(default="", repr=False)


def headers_of(delivery: Delivery, app: App) -> dict[str, str]:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers"""
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/sandbox",
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Hook-ID": str(app.hook_id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-GitHub-Hook-Installation-Target-ID": str(app.id),
    }
    if app.webhook_secret:
        digest = hmac.new(app.webhook_secret.encode(), delivery.body, hashlib.sha256).hexdigest()
        headers["X-Hub-Signature-256"] = f"sha256={digest}"
    return headers


class Hooks:
    """The deliveries of all Apps; `log` has the attempts made, oldest first."""

    def __init__(self, state: State, clock: Callable[[], int]) -> None:
        self.log: list[Delivery] = []
        self.timeout_s = TIMEOUT_S
        self.copies = 1
        self._drops = 0
        self._held = False
        self._state = state
        self._clock = clock
        self._waiting: dict[int, deque[Delivery]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    # what tests and people may do to deliveries

    def hold(self) -> None:
        """Send nothing until `release`; what happens meanwhile waits."""
        self._held = True

    def release(self, order: Callable[[list[Delivery]], list[Delivery]] = list) -> None:
        """Send what waited, in the order that `order` makes of each hook's list."""
        self._held = False
        for app_id, queue in self._waiting.items():
            self._waiting[app_id] = deque(order(list(queue)))
            self._pump(app_id)

    def duplicate(self, copies: int) -> None:
        """Send each delivery this many times in all from now on, with the same guid."""
        self.copies = copies

    def drop(self, count: int) -> None:
        """Lose the next deliveries on the way: the log shows them as failed, nobody receives them."""
        self._drops = count

    def kept(self) -> list[Delivery]:
        """What the delivery log still shows, oldest first."""
        return [delivery for delivery in self.log if delivery.delivered_at > self._clock() - KEPT_MS]

    @property
    def waiting(self) -> list[Delivery]:
        return [delivery for queue in self._waiting.values() for delivery in queue]

    async def settled(self, timeout_s: float = 30.0) -> None:
        """Wait until everything was sent. Raises RuntimeError where deliveries are held, TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self.waiting or self._tasks:
                if not self._tasks:
                    raise RuntimeError(f"{len(self.waiting)} deliveries wait: release() or start() first")
                await asyncio.wait(list(self._tasks.values()))
                await asyncio.sleep(0)  # a finished task leaves the table in its own callback

    # how they come and go

    def enqueue(self, app: App, event: str, payload: Json) -> None:
        """Owe an App an event; nothing happens for one without a webhook URL."""
        if app.webhook_url is None:
            return
        delivery = Delivery(
            id=next(self._state.ids.delivery),
            guid=str(uuid.uuid4()),
            app_id=app.id,
            event=event,
            action=payload.get("action"),
            installation_id=payload.get("installation", {}).get("id"),
            repository_id=payload.get("repository", {}).get("id"),
            body=json.dumps(payload, separators=(",", ":")).encode(),
        )
        again = (replace(delivery, id=next(self._state.ids.delivery)) for _ in range(self.copies - 1))
        self._append(delivery, *again)

    def redeliver(self, delivery: Delivery) -> None:
        """A new attempt with the same guid and body."""
        self._append(replace(delivery, id=next(self._state.ids.delivery), redelivery=True, status_code=None))

    def _append(self, *deliveries: Delivery) -> None:
        app_id = deliveries[0].app_id
        self._waiting.setdefault(app_id, deque()).extend(deliveries)
        self._pump(app_id)

    async def start(self) -> None:
        # The webhook URL is the one configured; a proxy or .netrc of the machine has no say.
        self._session = aiohttp.ClientSession(trust_env=False)
        for app_id in self._waiting:
            self._pump(app_id)

    async def stop(self) -> None:
        """What was not sent yet waits for the next start."""
        session, self._session = self._session, None
        for task in list(self._tasks.values()):
            task.cancel()
            await asyncio.wait([task])
        if session:
            await session.close()

    def _pump(self, app_id: int) -> None:
        if self._session and not self._held and self._waiting.get(app_id) and app_id not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._send_all(app_id, self._session))
            self._tasks[app_id] = task
            task.add_done_callback(lambda _: self._sent_all(app_id))

    def _sent_all(self, app_id: int) -> None:
        self._tasks.pop(app_id)
        self._pump(app_id)

    async def _send_all(self, app_id: int, session: aiohttp.ClientSession) -> None:
        while self._waiting[app_id] and not self._held:
            delivery = self._waiting[app_id].popleft()
            try:
                self.log.append(await self._attempt(delivery, session))
            except asyncio.CancelledError:
                self._waiting[app_id].appendleft(delivery)
                raise

    async def _attempt(self, delivery: Delivery, session: aiohttp.ClientSession) -> Delivery:
        app = self._state.apps[delivery.app_id]
        sent = replace(delivery, delivered_at=self._clock(), request_headers=headers_of(delivery, app))
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._drops > 0:
            self._drops -= 1
            answer = replace(sent, status="lost by the sandbox", status_code=502)
        else:
            answer = await self._post(sent, app, session)
        return replace(answer, duration_s=round(loop.time() - began, 2))

    async def _post(self, sent: Delivery, app: App, session: aiohttp.ClientSession) -> Delivery:
        wait = aiohttp.ClientTimeout(total=self.timeout_s)
        url, headers = app.webhook_url or "", sent.request_headers
        try:
            post = session.post(url, data=sent.body, headers=headers, timeout=wait, allow_redirects=False)
            async with post as answer:
                body = (await answer.read())[:65536].decode(errors="replace")
                good = 200 <= answer.status < 300
                status = "OK" if good else f"Invalid HTTP Response: {answer.status}"
                shown = dict(answer.headers)
                made = replace(sent, status=status, status_code=answer.status, response_headers=shown)
                return replace(made, response_body=body)
        except TimeoutError:
            return replace(sent, status="timed out", status_code=504)
        except aiohttp.ClientError:
            return replace(sent, status="failed to connect to host", status_code=502)
