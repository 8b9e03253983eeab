"""Decoding alone, form by form: points per CPU second of `decode_object` in every form that archives have.

Bodies are made by encoders that this project did not write (scripts/encoders). Each form gets as many points as it decodes in the CPU seconds asked for.
"""

import gzip
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import zstandard
from google.protobuf import json_format

from scripts.benchmarking import form_records as records
from scripts.benchmarking.form_records import ARRIVAL_US, FLAT, POINTS, compact
from scripts.encoders import envelopes
from scripts.encoders.aggregates import aggregate
from scripts.encoders.containers import framed_snappy, hadoop_snappy, orc, parquet, zipped
from scripts.encoders.otlp import delimited, labeled_posting
from transforms.decode.objects import DecodeRules, decode_object

_KEY: Final = "2025/11/01/12/forms-1-2025-11-01-12-27-00-0"
_FIRST_RECORDS: Final = 20
_MOST_RECORDS: Final = 40_000
"""Tables would need more for any time to speak of, which take too long to make."""

_MOST_GROWTH: Final = 8
_TELLING_S: Final = 0.01
"""What takes less is too short to tell how many records take longer: then at most so many times more."""

_BATCH: Final = 100
"""Records of one Lambda event; AWS's default for Kinesis."""

_AGGREGATED: Final = 10
"""Postings of one KPL aggregate: about 30 KB, below the KPL's 50 KB (AggregationMaxSize)."""

_ERRORS: Final = DecodeRules(read_error_output=True)
_FLAT: Final = DecodeRules(flat=FLAT)


class WrongForm(Exception):
    """What was decoded is not what was encoded."""


@dataclass(frozen=True)
class Form:
    """`body` makes an object of so many records of 50 points."""

    body: Callable[[int], bytes]
    rules: DecodeRules = field(default_factory=DecodeRules)


@dataclass(frozen=True)
class FormSpeed:
    """One form: size as stored, points, and the median CPU seconds of decoding it once."""

    name: str
    stored_bytes: int
    points: int
    cpu_s: float

    @property
    def points_per_cpu_s(self) -> float:
        """What the table shows."""
        return self.points / self.cpu_s

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        return self.name, f"{self.points:,}", f"{self.stored_bytes / 1e6:.2f}", f"{self.stored_bytes / self.points:.1f}", f"{self.points_per_cpu_s:,.0f}"

    def data(self) -> dict[str, object]:
        """For JSON."""
        return vars(self) | {"points_per_cpu_s": self.points_per_cpu_s}


HEAD: Final = ("form", "points", "stored MB", "bytes/point", "points per CPU s")


def _concatenated(count: int) -> bytes:
    return b"".join(records.postings(count))


def _lambda_events(payloads: Sequence[bytes]) -> bytes:
    waiting = iter(payloads)
    return b"".join(envelopes.lambda_event(*batch) for batch in iter(lambda: list(islice(waiting, _BATCH)), []))


def _aggregates(count: int) -> list[bytes]:
    made = records.postings(count)
    return [aggregate(*made[at : at + _AGGREGATED]) for at in range(0, count, _AGGREGATED)]


def _error_output(count: int) -> bytes:
    return envelopes.as_lines(*map(envelopes.error_record, records.postings(count)))


def _labeled(exports: Iterator[Any]) -> bytes:
    return b"\n".join(labeled_posting(one.SerializeToString(), org="acme", receivedAt=ARRIVAL_US / 1e6) for one in exports)


def _otlp_json(exports: Iterator[Any]) -> bytes:
    return b"\n".join(compact(json_format.MessageToDict(one)) for one in exports)


FORMS: Final[Mapping[str, Form]] = {
    "postings, plain": Form(_concatenated),
    "postings, gzip": Form(lambda count: gzip.compress(_concatenated(count), mtime=0)),
    "postings, zstd": Form(lambda count: zstandard.compress(_concatenated(count))),
    "postings, zip": Form(lambda count: zipped(_concatenated(count))),
    "postings, snappy framing": Form(lambda count: framed_snappy(_concatenated(count))),
    "postings, Hadoop snappy": Form(lambda count: hadoop_snappy(_concatenated(count))),
    "postings, NDJSON with spaces": Form(lambda count: envelopes.as_lines(*map(json.loads, records.postings(count)))),
    "postings, Parquet": Form(lambda count: parquet(records.posting_table(count))),
    "postings, ORC": Form(lambda count: orc(records.posting_table(count), compression="snappy")),
    "bare host arrays": Form(lambda count: b"".join(records.bare_arrays(count))),
    "postings in Lambda events": Form(lambda count: _lambda_events(records.postings(count))),
    "KPL aggregates in Lambda events": Form(lambda count: _lambda_events(_aggregates(count))),
    "Firehose transform records": Form(lambda count: envelopes.as_lines(*map(envelopes.firehose_record, records.postings(count)))),
    "Firehose error output": Form(_error_output, _ERRORS),
    "labeled postings, gauges": Form(lambda count: _labeled(records.gauge_exports(count))),
    "labeled postings, histograms": Form(lambda count: _labeled(records.histogram_exports(count))),
    "OTLP protobuf, gauges": Form(lambda count: delimited(records.gauge_exports(count))),
    "OTLP protobuf, histograms": Form(lambda count: delimited(records.histogram_exports(count))),
    "OTLP/JSON, gauges": Form(lambda count: _otlp_json(records.gauge_exports(count))),
    "OTLP/JSON, histograms": Form(lambda count: _otlp_json(records.histogram_exports(count))),
    "CloudWatch JSON": Form(lambda count: b"\n".join(map(compact, records.cloudwatch_records(count)))),
    "CloudWatch OpenTelemetry 1.0": Form(lambda count: delimited(records.statistic_exports(count))),
    "flat NDJSON": Form(lambda count: b"\n".join(map(compact, records.flat_rows(count))), _FLAT),
    "flat JSON array": Form(lambda count: compact(list(records.flat_rows(count))), _FLAT),
    "flat Parquet": Form(lambda count: parquet(records.flat_table(count)), _FLAT),
    "flat ORC": Form(lambda count: orc(records.flat_table(count), compression="snappy"), _FLAT),
}
"""A new form gets a line here."""


def measure_forms(cpu_s: float, *, repeat: int = 3) -> Iterator[FormSpeed]:
    """Every form with so many points that decoding takes about `cpu_s` CPU seconds, decoded `repeat` times. Raises WrongForm if a point is lost."""
    for name, form in FORMS.items():
        count, body, first_s = _sized(name, form, cpu_s)
        taken_s = [first_s, *(_decoding_s(name, form, body, count) for _ in range(repeat - 1))]
        yield FormSpeed(name, len(body), count * POINTS, statistics.median_low(taken_s))


def _sized(name: str, form: Form, cpu_s: float) -> tuple[int, bytes, float]:
    """Number of records, the object, and seconds: more and more records, until decoding takes at least three quarters of the time."""
    count = _FIRST_RECORDS
    while True:
        body = form.body(count)
        taken_s = _decoding_s(name, form, body, count)
        if taken_s >= cpu_s * 3 / 4 or count == _MOST_RECORDS:
            return count, body, taken_s
        growth = 1.1 * cpu_s / taken_s
        count = min(_MOST_RECORDS, round(count * (growth if taken_s > _TELLING_S else min(_MOST_GROWTH, growth))))


def _decoding_s(name: str, form: Form, body: bytes, count: int) -> float:
    began_s = time.process_time()
    decoded = decode_object(body, key=_KEY, arrival_us=ARRIVAL_US, rules=form.rules)
    taken_s = time.process_time() - began_s
    if len(decoded.points.value) != count * POINTS or decoded.dead_letters:
        raise WrongForm(f"{name}: {len(decoded.points.value)} points of {count * POINTS} were decoded; dead letters: {decoded.dead_letters[:1]}")
    return taken_s
