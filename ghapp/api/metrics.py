"""``/metrics``, as Prometheus scrapes it. Labels are names of the config and of runners: there are only so many.

https://prometheus.io/docs/practices/naming/
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ghapp.api.common import CONTEXT, QUIET, READER
from ghapp.api.params import AnyParams
from ghapp.api.routing import Route, Text
from ghapp.core.values import State
from ghapp.service import measuring
from ghapp.service.measuring import BOUNDS_S, CLAIM_LATENCY, DURATION, OUTCOME, Measured
from ghapp.store import totals

_PLACE = ("app", "environment")


async def metrics(request: web.Request, _: AnyParams) -> web.Response:
    request[QUIET] = True
    measured = await measuring.measure(request.app[CONTEXT], request[READER])
    registry = CollectorRegistry()
    registry.register(_Measurements(measured))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class _Measurements(Collector):
    """What was measured for one scrape, as the library wants it."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterable[Metric]:
        yield from _lines(self._measured)
        yield _outcomes(self._measured)
        yield _histogram(self._measured, CLAIM_LATENCY, "From when a deploy could be claimed until it was.")
        yield _histogram(self._measured, DURATION, "How long commands ran.")
        yield from _plumbing(self._measured)


def _lines(measured: Measured) -> Iterator[Metric]:
    length = _gauge("kedge_queue_length", "Deploys that wait.", _PLACE)
    age = _gauge("kedge_queue_oldest_age_seconds", "Since when the oldest of them waits.", _PLACE)
    claimed = _gauge("kedge_deploys_claimed", "Deploys that a runner is preparing.", _PLACE)
    running = _gauge("kedge_deploys_running", "Deploys whose command runs.", _PLACE)
    for one in measured.standings:
        place = (one.app, one.environment)
        length.add_metric(place, one.waiting)
        age.add_metric(place, 0 if one.oldest_at is None else max(measured.now - one.oldest_at, 0) / 1000)
        claimed.add_metric(place, int(one.active == State.CLAIMED))
        running.add_metric(place, int(one.active == State.RUNNING))
    yield from (length, age, claimed, running)


def _outcomes(measured: Measured) -> Metric:
    ended = CounterMetricFamily("kedge_deploys_ended", "Deploys by the state they ended in.", labels=(*_PLACE, "state"))
    for one in measured.totals:
        if one.name == OUTCOME:
            ended.add_metric((one.app, one.environment, one.label), one.count)
    return ended


def _histogram(measured: Measured, name: str, documentation: str) -> Metric:
    family = HistogramMetricFamily(f"kedge_{name}_seconds", documentation, labels=_PLACE)
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for one in measured.totals:
        if one.name == name:
            counts.setdefault((one.app, one.environment), {})[one.label] = one.count
    for place, counted in counts.items():
        family.add_metric(place, _cumulative(counted, BOUNDS_S[name]), sum_value=counted.get(totals.SUM, 0) / 1000)
    return family


def _cumulative(counted: Mapping[str, int], bounds_s: Iterable[float]) -> list[tuple[str, float]]:
    """As Prometheus has it: each bucket holds those before it too."""
    labels = [*(f"{bound:g}" for bound in bounds_s), totals.ABOVE]
    return [*zip(labels, map(float, accumulate(counted.get(label, 0) for label in labels)), strict=True)]


def _plumbing(measured: Measured) -> Iterator[Metric]:
    yield _single("kedge_inbox_lag_seconds", "Since when the oldest delivery is due.", measured.inbox_lag_s)
    yield _single("kedge_outbox_lag_seconds", "Since when the oldest notice is due.", measured.outbox_lag_s)
    yield _single("kedge_messages_lag_seconds", "Since when the oldest message is due.", measured.messages_lag_s)
    if measured.reconciler_lag_s is not None:
        about = "Since when something may be missing that a provider sent."
        yield _single("kedge_reconciler_lag_seconds", about, measured.reconciler_lag_s)
    left = _gauge("kedge_provider_calls_left", "Calls left until the rate limit fills again.", ("provider",))
    for provider, calls in measured.rate_limits.items():
        left.add_metric((provider,), calls)
    seen = _gauge("kedge_runner_seen_seconds", "Since when a runner was not heard of.", ("runner",))
    for runner in measured.runners:
        seen.add_metric((runner.name,), max(measured.now - runner.seen_at, 0) / 1000)
    yield from (left, seen)


def _gauge(name: str, documentation: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=labels)


def _single(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="Lines, claims, durations, outcomes, lags, runners, for Prometheus.",
        takes=AnyParams,
        answers={200: Text()},
    ),
)
