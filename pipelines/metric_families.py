"""A run's figures as Prometheus metrics. docs/metrics.md explains each; names and units follow Prometheus' own rules for naming."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipelines.figures import Figures, Use

_Samples = Mapping[tuple[str, ...], float]
"""Numbers by the values of the labels."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When figures are told, and whether the run works on: once it does not, the exit code it ended with, None if it was interrupted."""

    run_id: str
    now_s: float
    is_running: bool = True
    exit_code: int | None = None


def registry_of(at: Moment, figures: Figures, use: Use) -> CollectorRegistry:
    """All metrics of one moment."""
    registry = CollectorRegistry()
    registry.register(_Told([*_of_moment(at), *_of_figures(at.run_id, figures), *_of_use(at.run_id, use)]))
    return registry


class _Told(Collector):
    """Metrics that were made before anybody asks for them."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _of_moment(at: Moment) -> Iterator[Metric]:
    yield _gauge("rollups_running", "1 while the run works, paused or not.", at.run_id, {(): at.is_running})
    yield _gauge("rollups_told_timestamp_seconds", "When these figures were told.", at.run_id, {(): at.now_s})
    if at.exit_code is not None:
        yield _gauge("rollups_exit_code", "What the run ended with; there is none while it works.", at.run_id, {(): at.exit_code})


def _of_figures(run_id: str, now: Figures) -> Iterator[Metric]:
    known = {
        "rollups_done_ratio": ("Share of the run's work that is done.", now.fraction),
        "rollups_eta_seconds": ("Time until the end at the pace so far.", now.eta_s),
        "rollups_copied_until_timestamp_seconds": ("A copy that follows has copied all before.", now.until_s),
    }
    yield from (_gauge(name, told, run_id, {(): number}) for name, (told, number) in known.items() if number is not None)
    staged: _Samples = dict(zip([("staged",), ("planned",)], now.groups, strict=True)) if now.groups[1] else {}
    yield _gauge("rollups_read_groups", "Groups of archive objects.", run_id, staged, ("state",))
    units: _Samples = {(name, state): number for name, both in now.units.items() for state, number in zip(("written", "planned"), both, strict=True)}
    yield _gauge("rollups_units", "Units of work: a window of days of some series.", run_id, units, ("metric_type", "state"))
    yield _counter("rollups_points", "Points decoded, or rollups read from a store.", run_id, {(): now.points})
    buckets: _Samples = {
        (name, one, verdict): number for name, of_type in now.buckets.items() for one, tally in of_type.items() for verdict, number in tally.items()
    }
    yield _counter("rollups_buckets", "Rollups by what became of them.", run_id, buckets, ("metric_type", "granularity", "verdict"))
    yield _counter("rollups_dead_letters", "What could not be used.", run_id, {(cause,): number for cause, number in now.dead_letters.items()}, ("cause",))
    waited: _Samples = {(service, cause): seconds for service, causes in now.throttled_s.items() for cause, seconds in causes.items()}
    yield _counter("rollups_throttled_seconds", "Time that threads waited for limits.", run_id, waited, ("service", "cause"))


def _of_use(run_id: str, use: Use) -> Iterator[Metric]:
    yield _gauge("rollups_paused", "1 while somebody or a guard holds the run.", run_id, {(): use.is_paused})
    yield _gauge(
        "rollups_limit", "What the run may use, by the option that says so.", run_id, {(name,): value for name, value in use.limits.items()}, ("limit",)
    )
    yield _counter("rollups_used", "What services charge for.", run_id, {(name,): value for name, value in use.used.data().items()}, ("what",))
    yield _counter("rollups_cost_dollars", "What that costs at the prices that the run knows.", run_id, {(): use.dollars})


def _gauge(name: str, told: str, run_id: str, samples: _Samples, labels: tuple[str, ...] = ()) -> Metric:
    return _filled(GaugeMetricFamily(name, told, labels=("run_id", *labels)), run_id, samples)


def _counter(name: str, told: str, run_id: str, samples: _Samples, labels: tuple[str, ...] = ()) -> Metric:
    """It is called `name` and `_total`."""
    return _filled(CounterMetricFamily(name, told, labels=("run_id", *labels)), run_id, samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, run_id: str, samples: _Samples) -> Metric:
    for values, number in samples.items():
        family.add_metric((run_id, *values), float(number))
    return family
