"""`rollups compare LEFT RIGHT`: missing, extra and different rollups of two stores, by metric type, granularity, day and hash slot."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from configs.store_jobs import CompareJob
from pipelines.outcome import Outcome, human_number, table
from pipelines.report import change_data, change_lines
from pipelines.runtime import Runtime
from transforms.core.comparing import compare_sorted
from transforms.core.differences import WHAT, Differences
from transforms.core.errors import RefusedError, UsageError
from transforms.core.globs import read_series_file
from transforms.core.granularity import DAY_S, WIDTH_S, Range
from transforms.core.hash_slots import HashSlots, format_slots
from transforms.core.selection import Selection
from transforms.core.store_settings import settings_of
from transforms.core.time import format_period, parse_period, unite
from transforms.stores.protocol import RollupStore

DIFFER: Final = 4
SHOWN_DAYS: Final = 40
SHOWN_GROUPS: Final = 40


def run(job: CompareJob, runtime: Runtime) -> Outcome:
    """Exit 0 if both hold the same, 4 if not, 5 if neither holds anything."""
    periods = unite(parse_period(text, runtime.now_s()) for text in job.period)
    stores = [runtime.store(url, settings_of(job), writable=False) for url in (job.left, job.right)]
    found = Differences(key=HashSlots(ranges=(), template=job.hash_key) if job.hash_key else None)
    granularities = _granularities(job, stores)
    selection = _selection(job, runtime)
    for metric_type in job.metric_types:
        for granularity in granularities:
            _compare(found, stores, metric_type, granularity, periods, selection, with_generation=job.include_generation)
    if not any(sum(numbers.values()) for numbers in found.compared.values()) and not job.allow_empty:
        asked = f"{', '.join(job.metric_types)} in {', '.join(map(format_period, periods))}"
        msg = f"neither {job.left} nor {job.right} has rollups of {asked}: ask for another period, or --allow-empty if that is expected"
        raise RefusedError(msg)
    data = _data(job, periods, granularities, found)
    return Outcome(exit_code=DIFFER if found.total else 0, data=data, text=_text(data))


def _granularities(job: CompareJob, stores: list[RollupStore]) -> tuple[str, ...]:
    held = [name for name in WIDTH_S if all(name in store.traits.granularities for store in stores)]
    if cannot := [name for name in job.granularities if name not in held]:
        msg = f"not both stores can hold {', '.join(cannot)} rollups: ask for --granularities {','.join(held)}"
        raise UsageError(msg)
    return tuple(name for name in held if name in (job.granularities or held))


def _selection(job: CompareJob, runtime: Runtime) -> Selection:
    globs = read_series_file(runtime.read_file(job.series_file, "series file"), job.series_file) if job.series_file else ()
    return Selection(metric_types=job.metric_types, computed={}, orgs=job.org, series=job.series + globs)


def _compare(
    found: Differences,
    stores: list[RollupStore],
    metric_type: str,
    granularity: str,
    periods: tuple[Range, ...],
    selection: Selection,
    *,
    with_generation: bool,
) -> None:
    wanted = None if selection.is_of_all_series else selection.selects
    scans = [store.scan(granularity, metric_types=(metric_type,), periods=periods, wanted=wanted) for store in stores]
    left, right = ((rows for _, rows in scan) for scan in scans)
    for one in compare_sorted(left, right, with_generation=with_generation):
        found.add(metric_type, granularity, one)


def _data(job: CompareJob, periods: tuple[Range, ...], granularities: tuple[str, ...], found: Differences) -> dict[str, Any]:
    by_type: dict[str, dict[str, dict[str, int]]] = {}
    for (metric_type, granularity), numbers in found.compared.items():
        by_type.setdefault(metric_type, {})[granularity] = {what: numbers[what] for what in ("equal", *WHAT)}
    days = found.by("metric_type", "granularity", "day")
    return {
        "left": job.left,
        "right": job.right,
        "periods": [format_period(one) for one in periods],
        "granularities": list(granularities),
        "generations_compared": job.include_generation,
        "differences": found.total,
        "buckets": by_type,
        "days": [{"metric_type": name, "granularity": width, "day": _day(day), **_numbers(of)} for (name, width, day), of in days.items()],
        "hash_key": job.hash_key,
        "hash_slots": _slots_data(found) if job.hash_key else None,
        "examples": {what: [change_data(one, name) for name, one in some] for what, some in found.examples.items()},
    }


def _numbers(found: Counter[str]) -> dict[str, int]:
    return {what: found[what] for what in WHAT}


def _day(day: object) -> str:
    return datetime.fromtimestamp(int(str(day)) * DAY_S, UTC).strftime("%Y-%m-%d")


def _slots_data(found: Differences) -> dict[str, Any]:
    groups = found.slot_groups()
    return {
        "with_series": len(found.slots),
        "differing": sum(one.with_series for one in groups),
        "groups": [{"slots": format_slots((one.slots,)), "with_series": one.with_series, **one.numbers} for one in groups],
        "slots": {str(slot): _numbers(of) for (slot,), of in found.by("slot").items()},
    }


def _text(data: dict[str, Any]) -> str:
    rows = [(f"{name} {width}", *map(human_number, of.values())) for name, of_type in data["buckets"].items() for width, of in of_type.items()]
    days = [(f"{one['metric_type']} {one['granularity']} {one['day']}", *(human_number(one[what]) for what in WHAT)) for one in data["days"]]
    verdict = f"{human_number(data['differences'])} buckets differ" if data["differences"] else "both hold the same"
    parts = [
        f"left      {data['left']}",
        f"right     {data['right']}",
        *(f"period    {one}" for one in data["periods"]),
        f"result    {verdict}; missing: only left has them, extra: only right has them"
        + ("" if data["generations_compared"] else "; generations were not compared"),
        "",
        table(("buckets", "equal", *WHAT), rows),
    ]
    if days:
        parts += ["", table(("day", *WHAT), days[:SHOWN_DAYS])]
        parts += [f"and {human_number(len(days) - SHOWN_DAYS)} more, in --json"] if len(days) > SHOWN_DAYS else []
    return "\n".join([*parts, *_slot_lines(data["hash_slots"]), *_example_lines(data)])


def _slot_lines(slots: dict[str, Any] | None) -> Iterator[str]:
    if not slots:
        return
    yield ""
    yield f"slots     {human_number(slots['differing'])} of the {human_number(slots['with_series'])} hash slots that hold series differ"
    if slots["groups"]:
        rows = [(one["slots"], *(human_number(one[name]) for name in ("with_series", *WHAT))) for one in slots["groups"]]
        yield ""
        yield table(("hash slots", "of them with series", *WHAT), rows[:SHOWN_GROUPS])
    if len(slots["groups"]) > SHOWN_GROUPS:
        yield f"and {human_number(len(slots['groups']) - SHOWN_GROUPS)} more, in --json"


def _example_lines(data: dict[str, Any]) -> Iterator[str]:
    for what, some in data["examples"].items():
        if some:
            yield ""
            yield from change_lines(what, some)


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("compare")
