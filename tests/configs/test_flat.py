"""The mapping of flat rows: in YAML, on the command line, in plans; and the examples of schemas, which decode what they show."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from configs.loader import load_config
from configs.options import PLAN_OPTIONS
from transforms.core.errors import UsageError
from transforms.core.flat import FlatMapping, flat_text
from transforms.core.plan import Estimate, Plan, Request, plan_from_json
from transforms.decode.objects import DecodeRules, decode_object

EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "schemas").glob("*.yaml"))
ONE_LABEL = FlatMapping(time="t", value="v", name="n", labels=("a",))
WHOLE = FlatMapping(time="t", time_unit="ns", value="v", name="=m", labels=("a", "b"), entity="e", type="=host", org="o")


def loaded(tmp_path: Path, text: str) -> object:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(str(path), PLAN_OPTIONS)["flat"]


def test_yaml_and_command_line(tmp_path: Path) -> None:
    assert loaded(tmp_path, "flat: {time: t, time_unit: ns, value: v, name: =m, labels: [a, b], entity: e, type: =host, org: o}") == WHOLE
    assert flat_text("time=t,value=v,name=n,labels=a+") == ONE_LABEL
    assert flat_text("time=t,time_unit=ns,value=v,name==m,labels=a+b,entity=e,type==host,org=o") == WHOLE
    assert loaded(tmp_path, "flat: time=t,value=v,name=n,labels=tags") == FlatMapping(time="t", value="v", name="n", labels="tags")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{time: t, value: v}", "name is missing"),
        ("{time: t, value: v, name: n, nam: x}", "'nam' is no part of a flat row"),
        ("{time: t, value: v, name: n, time_unit: h}", "'h' is no unit of time: choose s, ms, us, ns"),
        ("{time: t, value: [v], name: n}", "value: ['v'] is not the name of a field"),
        ("{time: t, value: v, name: n, labels: {a: b}}", "or a list of names"),
        ("{time: t, value: v, name: n, labels: [a, a]}", "labels: 'a' is there twice"),
        ('{time: "", value: v, name: n}', "time: '' is not the name of a field"),
        ("[t]", "'t' is no part of a flat row"),
        ("time=t,time=u", "'time' is there twice"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)) as raised:
        loaded(tmp_path, f"flat: {written}")
    assert "c.yaml, flat" in str(raised.value)


@pytest.mark.parametrize("mapping", [None, WHOLE, FlatMapping(time="t", value="v", name="n", labels="tags"), ONE_LABEL])
def test_plans_keep_the_mapping(mapping: FlatMapping | None) -> None:
    request = Request(archive="file:///a", store="parquet:///s", periods=("-1h/now",), metric_types=("host",), granularities=("1m",), flat=mapping)
    plan = Plan(
        run_id="r", created_s=0, request=request, periods=((0, 60),), generation=1, manifest_digest="d", object_bytes=0, listed_objects=0, untimed_objects=0,
        object_times=(), groups=(), shards={},
        estimate=Estimate(sampled_objects=0, points=0, series=0, staging_bytes=0, free_bytes=0, duration_s=0.0, points_per_s=0.0),
    )  # fmt: skip
    assert plan_from_json(plan.to_json()) == plan
    assert json.loads(json.dumps(dataclasses.asdict(plan)))["request"]["flat"] == (json.loads(json.dumps(dataclasses.asdict(mapping))) if mapping else None)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_decode_what_they_show(path: Path) -> None:
    values = load_config(str(path), PLAN_OPTIONS)
    shown = re.findall(r"^#   ([{\[].*)$", path.read_text(), re.MULTILINE)
    rules = DecodeRules(org=str(values.get("default_org", "")), flat=values.get("flat"))  # type: ignore[arg-type]
    assert shown
    for record in shown:
        found = decode_object(record.encode(), key="k", arrival_us=1_762_000_000_000_000, rules=rules)
        assert found.dead_letters == ()
        assert len(found.points.value) == 1
        assert found.postings.org.to_pylist() == ["acme"]
        assert set(found.postings.metric_type.to_pylist()) <= set(values["metric_types"])  # type: ignore[call-overload]


def test_each_schema_has_an_example() -> None:
    assert [path.stem for path in EXAMPLES] == ["cloudwatch", "flat", "labeled", "otlp", "posting"]
