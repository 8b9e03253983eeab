"""The tables of README "How fast", in Markdown, from the JSON document of a benchmark."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from scripts.benchmarking.kinds import LEAST_SHARE

_PEERS: Final = {"ours": "**metric-rollups**", "clickhouse": "ClickHouse (chdb)", "duckdb": "DuckDB", "polars": "Polars", "naive": "naive Beam, on a twentieth"}
_ASKED: Final = (
    "postings, plain", "postings, gzip", "postings, zstd", "postings, Parquet", "bare host arrays", "postings in Lambda events",
    "KPL aggregates in Lambda events", "labeled postings, gauges", "labeled postings, histograms", "OTLP protobuf, gauges",
    "OTLP protobuf, histograms", "OTLP/JSON, gauges", "CloudWatch JSON", "CloudWatch OpenTelemetry 1.0", "flat NDJSON", "flat Parquet",
)  # fmt: skip
"""The forms that people ask about; `scripts/benchmark` prints all."""

_PASSES: Final = ("fresh", "other values")

Document = Mapping[str, Any]


def readme_tables(document: Document) -> str:
    """A paragraph for each thing that was measured; the first one says on what."""
    of = document["machine"]
    head = f"Measured on {of['cores_used']} cores of {of['processor']}, {of['date'][:10]}, Python {of['python']}:"
    return "\n\n".join([head, *_race(document), *_s3(document), *_histograms(document), *_forms(document), *_stores(document)])


def _race(document: Document) -> Iterator[str]:
    rows = [one for one in document["results"] if one["name"] in _PEERS]
    if any(one["name"] != "ours" for one in rows):
        yield _table(("", "wall s", "CPU s", "peak RSS MB", "points/s", "equal to ours"), map(_race_row, rows))


def _race_row(result: Document) -> Sequence[str]:
    run = _median(result)
    equal = {True: "yes", False: "NO", None: ""}[result["equal"]]
    numbers = f"{run['wall_s']:.1f}", f"{run['cpu_s']:.1f}", f"{run['peak_rss_bytes'] / 1e6:,.0f}", _short(result["points_per_s"])
    return _PEERS[result["name"]], *numbers, equal


def _s3(document: Document) -> Iterator[str]:
    if document["s3"]:
        by_name = {one["name"]: _median(one) for one in document["results"]}
        there, here, cpu_times = by_name["s3"], by_name["ours"], document["s3"]["times_of_files"]["cpu_s"]
        peaks = f"{there['peak_rss_bytes'] / 1e6:,.0f} instead of {here['peak_rss_bytes'] / 1e6:,.0f} MB"
        yield (
            f"From a bucket (versitygw on the same cores, {document['s3']['points'] / 1e6:.1f} M points): {there['wall_s']:.1f} s instead of"
            f" {here['wall_s']:.1f} s from files in the same run, {cpu_times:.2f} times the CPU time, {peaks}; the server's own not counted."
        )


def _histograms(document: Document) -> Iterator[str]:
    if document["histograms"]:
        wanted = f"of the gauge rate (wanted: {LEAST_SHARE:g})"
        head = ("a point a minute, 50 series a posting", "stored 1m rows", "wall s", "CPU s", "peak RSS MB", "rows per CPU s, start left out", wanted)
        yield _table(head, map(_kind_row, document["histograms"]))


def _kind_row(kind: Document) -> Sequence[str]:
    run = _median(kind)
    rate = _short(kind["points"] / kind["steps_cpu_s"])
    numbers = f"{run['wall_s']:.1f}", f"{run['cpu_s']:.1f}", f"{run['peak_rss_bytes'] / 1e6:,.0f}"
    return kind["name"], _short(kind["points"]), *numbers, rate, f"{kind['share_of_gauge_rate']:.2f}"


def _forms(document: Document) -> Iterator[str]:
    found = {one["name"]: one for one in document["forms"]}
    if found:
        rows = ((name, f"{found[name]['stored_bytes'] / found[name]['points']:.1f}", _short(found[name]["points_per_cpu_s"])) for name in _ASKED)
        yield _table(("decoding alone", "bytes/point", "points per CPU s"), rows)


def _stores(document: Document) -> Iterator[str]:
    """Documents of an earlier benchmark have none."""
    found = [one for one in document.get("stores", ()) if one["processes"] == 1 and one["case"] in _PASSES]
    if found:
        head = ("writing alone, one process", "", "rollups/s", "unsafe loop's", "times its time", "calls per 1,000", "unsafe loop's")
        yield _table(head, map(_store_row, found))


def _store_row(speed: Document) -> Sequence[str]:
    both = (speed["ours"], speed["unsafe"])
    rates = (_short(one["rollups"] / one["wall_s"]) for one in both)
    calls = (f"{one['calls'] / one['rollups'] * 1000:.2f}" if one["calls"] else "" for one in both)
    return speed["store"], speed["case"], *rates, f"{speed['times_unsafe']:.2f}", *calls


def _median(result: Document) -> Mapping[str, float]:
    """The run that `report.Result.median` takes."""
    runs: list[Mapping[str, float]] = sorted(result["runs"], key=lambda run: run["wall_s"])
    return runs[(len(runs) - 1) // 2]


def _short(number: float) -> str:
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:,.0f} k" if number >= 1e4 else f"{number:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |".replace("|  ", "| ") for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
