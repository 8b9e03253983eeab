"""Requests that are alike are read through one of them; the oracle of tests/decode/test_otlp.py and the strict reader say what each holds."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.decode.otlp_requests import NOW_NS, requests
from tests.decode.parts import messages, plain_part
from tests.decode.test_otlp import require_equal, require_oracle
from transforms.decode import otlp_columns, otlp_read, otlp_strict
from transforms.decode.otlp_alike import first_alike
from transforms.decode.otlp_labels import LabelReader

Change = Callable[[ExportMetricsServiceRequest, int], None]

_NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, float("nan"), float("inf"), 2.0**53]))


def request(number: int, change: Change | None = None, name: str = "shop") -> bytes:
    """A gauge, a sum of integers and two histograms whose numbers depend on the number of the request."""
    one = ExportMetricsServiceRequest()
    resource = one.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = name
    metrics = resource.scope_metrics.add().metrics
    gauge = metrics.add(name="load").gauge.data_points.add(time_unix_nano=NOW_NS + number, as_double=number / 4)
    gauge.attributes.add(key="core").value.int_value = 1
    total = metrics.add(name="requests").sum
    total.is_monotonic, total.aggregation_temporality = True, 2
    total.data_points.add(start_time_unix_nano=NOW_NS, time_unix_nano=NOW_NS + 10**9 * number, as_int=3 * number)
    histogram = metrics.add(name="time").histogram
    histogram.aggregation_temporality = 1
    for route in ("/", "/cart"):
        point = histogram.data_points.add(time_unix_nano=NOW_NS + number, count=2 * number + 1, sum=1.5, explicit_bounds=[1.0, 2.0], min=0.5, max=number + 2)
        point.bucket_counts.extend([number, 1, number])
        point.attributes.add(key="route").value.string_value = route
    if change is not None:
        change(one, number)
    data: bytes = one.SerializeToString()
    return data


def point_of(one: ExportMetricsServiceRequest) -> Any:
    return one.resource_metrics[0].scope_metrics[0].metrics[2].histogram.data_points[0]


def _bounds(one: ExportMetricsServiceRequest, number: int) -> None:
    point_of(one).explicit_bounds[0] = number / 100


def _attributes(one: ExportMetricsServiceRequest, number: int) -> None:
    point_of(one).attributes[0].value.string_value = chr(ord("a") + number % 3)


def _flags(one: ExportMetricsServiceRequest, number: int) -> None:
    point_of(one).flags = 1 + number % 2


def _broken_sums(one: ExportMetricsServiceRequest, number: int) -> None:
    point_of(one).count = 2 * number + 1 + (number % 7 == 0)


def _odd_values(one: ExportMetricsServiceRequest, number: int) -> None:
    point_of(one).sum = (float("nan"), float("inf"), 1.0)[number % 3]
    point_of(one).time_unix_nano = NOW_NS if number % 5 else 1


def _large_counts(one: ExportMetricsServiceRequest, number: int) -> None:
    if number % 9 == 0:
        point_of(one).bucket_counts[1] = 1 << 41
        point_of(one).count = 2 * number + (1 << 41)


def _exemplars(one: ExportMetricsServiceRequest, number: int) -> None:
    point_of(one).exemplars.add(time_unix_nano=NOW_NS + number, as_double=1.0)


def _names(one: ExportMetricsServiceRequest, number: int) -> None:
    one.resource_metrics[0].scope_metrics[0].metrics[0].name = f"load{number % 10}"


CHANGES: dict[str, tuple[Change | None, int]] = {
    "numbers only": (None, 0),
    "bounds": (_bounds, 0),
    "attributes": (_attributes, 0),
    "flags": (_flags, 0),
    "names": (_names, 0),
    "exemplars, which are not looked at": (_exemplars, 0),
    "counts that don't add up": (_broken_sums, 0),
    "NaN, infinite and early": (_odd_values, 0),
    "counts left to the strict reader": (_large_counts, 7),
}


@pytest.mark.parametrize(("change", "left"), CHANGES.values(), ids=CHANGES)
def test_what_differs(change: Change | None, left: int) -> None:
    """The number of requests left to the strict reader, too: a doubt about one request is none about those that are like it."""
    data = [request(number, change, name) for number in range(63) for name in ("shop", "till", "warehouse")]
    require_oracle(data)
    assert require_equal(data) == 3 * left


def test_only_one_of_those_alike_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = messages([request(number, name=name) for number in range(50) for name in ("shop", "till")])
    assert first_alike(data)[1].tolist() == [0, 1] * 50
    steps = []
    read_points = otlp_read.PointReader
    monkeypatch.setattr(otlp_read, "PointReader", lambda reader, points, form: steps.append(len(points.start)) or read_points(reader, points, form))
    part, doubtful = otlp_columns.read(data, "key", LabelReader())
    assert (steps, len(part.decoded.points.value), doubtful.any()) == ([2 * 4], 100 * 4, False)


def test_what_an_earlier_batch_read_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a single request; what is unlike is read anew, and what is unlike that is read then."""
    steps = []
    read_points = otlp_read.PointReader
    monkeypatch.setattr(otlp_read, "PointReader", lambda reader, points, form: steps.append(len(points.start)) or read_points(reader, points, form))
    labels = LabelReader()
    batches = [
        ([request(number, name=name) for number in range(8) for name in ("shop", "till")], [8]),
        ([request(number, name=name) for number in range(20, 30) for name in ("till", "shop")], []),
        ([request(77, name="till")], []),
        ([request(number, _bounds, "till") for number in range(5)], [4, 20]),
        ([request(number, name="till") for number in range(5)], []),
        ([request(0), request(1, name="else")], [8]),
        ([], [0]),
    ]
    for data, wanted in batches:
        every = messages(data)
        part, doubtful = otlp_columns.read(every, "key", labels)
        assert (steps, doubtful.any()) == (wanted, False)
        assert plain_part(part) == plain_part(otlp_strict.read(every, range(len(every)), "key"))
        steps.clear()


def test_labels_may_be_forgotten_between_batches() -> None:
    labels = LabelReader()
    for numbers in (range(4), range(4, 9)):
        every = messages([request(number) for number in numbers])
        part, _ = otlp_columns.read(every, "key", labels)
        assert plain_part(part) == plain_part(otlp_strict.read(every, range(len(every)), "key"))
        for known in (labels._texts, labels._codes, labels._contexts, labels.contexts, labels._pairs, labels._joined):
            known.clear()


def test_with_few_alike_all_are_read() -> None:
    data = messages([request(number, name=f"{'n' * (number // 2)}") for number in range(10)] + [b""])
    assert first_alike(data[:10])[1].tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]
    assert first_alike(data[1:])[1].tolist() == list(range(10))
    assert first_alike([])[1].tolist() == []


def test_one_that_differs_is_read_itself() -> None:
    """It differs in every byte but those that may differ, in turn."""
    whole = request(1)
    for at in range(len(whole)):
        require_equal([*[whole] * 3, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]])


@settings(max_examples=60, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=2), st.data())
def test_random_requests_with_other_numbers(data: list[bytes], draw: st.DataObject) -> None:
    """Eight bytes anywhere become those of another number."""
    every = [*data * 3]
    for place in range(len(every)):
        one = every[place]
        for at in draw.draw(st.lists(st.integers(0, max(0, len(one) - 8)), max_size=2)):
            one = one[:at] + struct.pack("<d", draw.draw(_NUMBERS)) + one[at + 8 :] if len(one) >= 8 else one
        every[place] = one
    require_equal(every)
    require_equal(every * 20)


def test_rows_of_numbers() -> None:
    """Whatever the numbers: drawn at random, they come out as they went in."""
    random = np.random.default_rng(5)
    require_oracle([request(int(one)) for one in random.integers(0, 1 << 20, 200)])
