"""What a run did: sums from its ledger, the exit code they mean, and the lists beside them."""

import base64
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from typing import Any, Final, NamedTuple

from pipelines.alarms import alarms
from pipelines.costs import used_data, used_lines
from pipelines.coverage import coverage_lines, read_coverage_data
from pipelines.outcome import human_duration, human_number, table
from pipelines.plan import edge_texts, unmatched_warnings
from pipelines.runtime import Runtime
from pipelines.verification import add_verification, differs, verification, verification_lines
from transforms.core.accounts import STORED, Account, BucketChange, UnitRecord, account
from transforms.core.counts import INCOMING, Counts, by_cause, retries_of, throttled, throttled_text, total
from transforms.core.lateness import Bin, bins, seems_cut
from transforms.core.live import left_text
from transforms.core.model import SERIES_COLUMNS, DeadLetter
from transforms.core.outcome import LAPSED, LARGEST_CHANGES
from transforms.core.plan import Plan
from transforms.core.stopwatch import add_steps
from transforms.core.time import format_period, format_time
from transforms.decode.causes import UNREADABLE
from transforms.decode.flat import NO_FIELD
from transforms.steps.completion import coverage_of, dead_letters, footers, records
from transforms.steps.ledger import Ledger

BUCKETS: Final = ("added", "changed", "equal", "newer", "refused", "absent")
SHOWN_REFUSED: Final = 10
SHOWN_UNREADABLE: Final = 10
UNREADABLE_LISTED: Final = 1000
"""In the report; all of them are in the file of dead letters."""

STATES: Final = {0: "done", 1: "sums differ", 3: "dead letters", 4: "differences found", 5: "refused by a guard"}


class Accepted(NamedTuple):
    """What the user takes as it is: so many dead letters; that buckets are `left` to the live writer."""

    dead_letters: int = 0
    left: bool = False


def finish(ledger: Ledger, plan: Plan, runtime: Runtime, *, accepted: Accepted, duration_s: float) -> dict[str, Any]:
    """The report of a run that has nothing left to do; stored, with dead letters and refused buckets as files beside it.

    A run that ends with 0, 4 or 5 is over and its staging files are removed. After 3 the run can be repeated to accept its dead letters; after 1 its sums are
    made again.
    """
    report = ledger.report()
    if report is None or report["imbalances"]:
        done = list(records(plan, ledger))
        staged = [replace(one, slices=(), dead_letters=()) for one in footers(plan, ledger)]  # what is left does not grow with the run's points
        account_ = account([one.counts for one in staged], done)
        ledger.write_lines("dead_letters.jsonl", map(letter_line, dead_letters(plan, ledger)))
        ledger.write_lines("refused.jsonl", refused_lines(done))
        report = _report(plan, ledger, account_, done) | {
            "coverage": read_coverage_data(coverage_of(plan, ledger)),
            "duration_s": round(duration_s, 3),
            "duration_s_estimated": round(plan.estimate.duration_s, 1),
            "lateness": _lateness(bins([one.lateness for one in staged], plan.request.reach.late_s)),
            "steps": add_steps([*(one.steps for one in staged), *(one.steps for one in done)]),
        }
        add_verification(report, verification(plan, ledger, done, runtime))
        report["calls"] = used_data(ledger.tally.used(), ledger.budget(), plan.expected)
        report["alarms"] = alarms(ledger)
    report["exit_code"] = _exit_code(report, accepted)
    report["state"] = STATES[report["exit_code"]]
    ledger.store_report(report)
    if report["exit_code"] in (0, 4, 5):
        ledger.remove_staging()
    return report


def _lateness(found: tuple[Bin, ...]) -> dict[str, Any]:
    """Points by arrival - time; `seems_cut`: so many in the last bin that `--late-s` probably drops others of their kind."""
    return {"bins": [one._asdict() for one in found], "last_points": found[-1].points, "seems_cut": seems_cut(found)}


def _exit_code(report: dict[str, Any], accepted: Accepted) -> int:
    """The first that applies (DESIGN §4.9)."""
    if report["imbalances"]:
        return 1
    if report["dead_letters"]["total"] > accepted.dead_letters:
        return 3
    kept = ("refused",) if accepted.left else ("refused", "left")
    if any(tally.get(name, 0) for of_type in report["buckets"].values() for tally in of_type.values() for name in kept):
        return 5
    return 4 if differs(report["verification"]) else 0


def _report(plan: Plan, ledger: Ledger, sums: Account, done: list[UnitRecord]) -> dict[str, Any]:
    counts = sums.counts
    return {
        "run_id": plan.run_id,
        "dry_run": plan.request.dry_run,
        "generation": plan.generation,
        "archive": plan.request.archive,
        "store": plan.request.store,
        "periods": [format_period(one) for one in plan.periods],
        "computed": {name: [format_period(one) for one in ranges] for name, ranges in plan.selection.computed.items()},
        "edges": edge_texts(plan),
        "objects": sum(number for _, number in plan.groups),
        "object_bytes": plan.object_bytes,
        "untimed_objects": plan.untimed_objects,
        "min_coverage": plan.request.min_coverage,
        "warnings": unmatched_warnings(plan, "read", total(counts, "staged"), total(counts, "outside.series")),
        "left_rule": left_text(plan.left),
        "retries": retries_of(counts),
        "throttled_s": throttled(counts),
        "records": {"read": total(counts, "records"), "decoded": total(counts, "decoded_records"), "dead_letters": total(counts, "dead_records")},
        "firehose_error_records": total(counts, "error_output"),
        "points": _points(counts, plan),
        "inexact_values": total(counts, "inexact"),
        "overflowing_sums": total(counts, "overflows"),
        "rebinned_histograms": total(counts, "rebinned"),
        "imbalances": list(sums.imbalances()),
        "buckets": {metric_type: {name: asdict(tally) for name, tally in of_type.items()} for metric_type, of_type in sums.tallies.items()},
        "dead_letters": {"total": total(counts, "dead_records", "dead_points"), "by_cause": by_cause(counts), "file": str(ledger.path / "dead_letters.jsonl")},
        "unreadable_objects": [
            {"object": one.object, "cause": one.cause, "detail": one.detail} for one in islice(_unreadable(plan, ledger), UNREADABLE_LISTED)
        ],
        "refused_file": str(ledger.path / "refused.jsonl"),
        "refused_lapsed": sum(one.cause == LAPSED for record in done for one in record.refused),
        "refused": [change_data(one, record.unit.metric_type) for one, record in largest(done, "refused", SHOWN_REFUSED)],
        "largest_changes": [change_data(one, record.unit.metric_type) for one, record in largest(done, "changes", LARGEST_CHANGES)],
    }


def _unreadable(plan: Plan, ledger: Ledger) -> Iterator[DeadLetter]:
    """Dead letters that stand for objects which the archive did not hand out."""
    return (one for one in dead_letters(plan, ledger) if one.cause in UNREADABLE)


def _points(counts: Counts, plan: Plan) -> dict[str, dict[str, int]]:
    """Every term of the points' balance by metric type, the types asked for first."""
    others = {name for term, by_type in counts.items() if term in INCOMING for name in by_type} - {*plan.request.metric_types}
    types = [*plan.request.metric_types, *sorted(others)]
    terms = [term for term in counts if term.split(".")[0] in {*INCOMING, *STORED}]
    return {metric_type: {term: counts[term][metric_type] for term in sorted(terms) if metric_type in counts[term]} for metric_type in types}


def largest(done: Iterable[UnitRecord], what: str, number: int) -> list[tuple[BucketChange, UnitRecord]]:
    """So many of the `changes` or the `refused` buckets of all records, the largest first."""
    found = [(one, record) for record in done for one in getattr(record, what)]
    return sorted(found, key=lambda pair: pair[0].size, reverse=True)[:number]


def change_data(change: BucketChange, metric_type: str) -> dict[str, Any]:
    """A bucket before and after for `--json`."""
    series = dict(zip(SERIES_COLUMNS, (metric_type, *change.series), strict=True))
    numbers = {name: _finite(getattr(change, name)) for name in ("stored_minutes", "minutes", "stored_avg", "avg")}
    cause = {"cause": change.cause} if change.cause else {}
    return series | {"granularity": change.granularity, "bucket_start": format_time(change.bucket_start_s)} | numbers | cause


def _finite(number: float | None) -> float | str | None:
    """JSON has no infinite numbers: they are written as the text `inf` or `-inf`."""
    return repr(number) if number is not None and math.isinf(number) else number


def letter_line(letter: DeadLetter) -> bytes:
    """The JSON line of a dead letter: object, offset, cause, detail, raw bytes in base64."""
    line = letter._asdict() | {"raw": base64.b64encode(letter.raw).decode()}
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")


def refused_lines(done: Iterable[UnitRecord]) -> Iterator[bytes]:
    """The JSON lines of all refused buckets."""
    return (json.dumps(change_data(one, record.unit.metric_type), ensure_ascii=False).encode() for record in done for one in record.refused)


def report_text(report: dict[str, Any]) -> str:
    """The report for people."""
    parts = [
        f"run {report['run_id']}: {report['state']}"
        + (" (dry run: nothing was written)" if report["dry_run"] else "")
        + f" in {human_duration(report['duration_s'])}",
        *(f"period    {one}" for one in report["periods"]),
        *(f"edge      {name}: {text}" for name, text in report["edges"].items()),
        "",
        _buckets_table(report),
        "",
        _points_table(report),
        "",
        *_closing_lines(report),
    ]
    return "\n".join(parts)


def _buckets_table(report: dict[str, Any]) -> str:
    names = [*BUCKETS, *(["left"] if report["left_rule"] else [])]
    rows = [
        (f"{metric_type} {granularity}", *(human_number(tally[name]) for name in names))
        for metric_type, of_type in report["buckets"].items()
        for granularity, tally in of_type.items()
        if any(of.values() for of in of_type.values())
    ]
    return table(("buckets", *names), rows)


def _points_table(report: dict[str, Any]) -> str:
    heads = ["decoded", "role copies", "stored", "superseded", "outside", "dropped", "refused"]
    terms = ["points", "role_copies", "stored", "superseded", "outside", "dropped", "refused"]
    if any("lead_in_copies" in of_type for of_type in report["points"].values()):
        heads.insert(2, "lead-in copies")
        terms.insert(2, "lead_in_copies")
    rows = [
        (metric_type, *(human_number(sum(number for name, number in of_type.items() if name.split(".")[0] == term)) for term in terms))
        for metric_type, of_type in report["points"].items()
        if of_type
    ]
    return table(("points", *heads), rows)


def _closing_lines(report: dict[str, Any]) -> Iterator[str]:
    if nothing := [name for name, of_type in report["points"].items() if not of_type]:
        yield f"nothing   {', '.join(nothing)}: no point came in"
    records_ = report["records"]
    read, decoded, dead = (human_number(records_[name]) for name in ("read", "decoded", "dead_letters"))
    yield f"records   {read} read from {human_number(report['objects'])} objects = {decoded} decoded + {dead} dead letters"
    if report["coverage"]["incomplete"]:
        yield from coverage_lines(report["coverage"])
    yield from _notes(report)
    if letters := report["dead_letters"]["total"]:
        causes = ", ".join(f"{cause} {human_number(number)}" for cause, number in report["dead_letters"]["by_cause"].items())
        yield f"dead      {human_number(letters)} dead letters ({causes}): {report['dead_letters']['file']}"
    yield from _unread_lines(report)
    if report["retries"]:
        yield "retries   " + ", ".join(f"{reason} {human_number(number)}" for reason, number in report["retries"].items())
    if report["throttled_s"]:
        yield f"throttled {throttled_text(report['throttled_s'])}"
    yield from (f"ALARM     {one}" for one in report.get("alarms", ()))
    if "lateness" in report:
        yield from _lateness_lines(report["lateness"])
    yield from change_lines("refused", report["refused"])
    if report["refused"]:
        held = "" if not report["min_coverage"] else f", or hours with a coverage below {report['min_coverage']:g} held back"
        yield f"          stored rollups of more minutes were kept{held}; all of them: {report['refused_file']}; --allow-fewer replaces the former"
    if report["refused_lapsed"]:
        yield f"          of the refused, {human_number(report['refused_lapsed'])} would be removed at once: their time to live (--dynamodb-ttl) has passed"
    yield from _left_lines(report)
    if "calls" in report:
        yield from used_lines(report["calls"])
    yield from verification_lines(report["verification"])
    yield from change_lines("changed", report["largest_changes"])
    yield from (f"SUMS DIFFER  {sentence}" for sentence in report["imbalances"])


def _left_lines(report: dict[str, Any]) -> Iterator[str]:
    numbers = {name: sum(of_type[name]["left"] for of_type in report["buckets"].values() if name in of_type) for name in report["computed"]}
    if any(numbers.values()):
        told = ", ".join(f"{name} {human_number(number)}" for name, number in numbers.items())
        yield f"left      to the live writer: {told} ({report['left_rule']}); --skip-live accepts that, --include-live writes them"


def _notes(report: dict[str, Any]) -> Iterator[str]:
    """What was read and is not quite as it came."""
    if reasons := _dropped(report):
        yield "dropped   " + ", ".join(f"{reason} {human_number(number)}" for reason, number in sorted(reasons.items()))
    if reasons[NO_FIELD] and reasons[NO_FIELD] == sum(of_type["points"] for of_type in report["points"].values()):
        yield f"warning   none of {human_number(reasons[NO_FIELD])} rows has the field of the value that the mapping names: is `value` in --flat right?"
    if report["firehose_error_records"]:
        yield f"of these, {human_number(report['firehose_error_records'])} are what Firehose could not deliver"
    for what, key in (
        ("kept as the nearest number (beyond 2^53)", "inexact_values"),
        ("sums and counts beyond the largest number", "overflowing_sums"),
        ("histograms with wider buckets than they came with", "rebinned_histograms"),
    ):
        if report[key]:
            yield f"{what}: {human_number(report[key])}"
    if report["untimed_objects"]:
        yield f"warning   {human_number(report['untimed_objects'])} objects show no time in their key and were read in any case"
    yield from (f"warning   {one}" for one in report.get("warnings", ()))


def _lateness_lines(lateness: dict[str, Any]) -> Iterator[str]:
    found = [Bin(**one) for one in lateness["bins"]]
    number = sum(one.points for one in found)
    if shown := [f"up to {human_duration(one.up_to_s)} {human_number(one.points)}" for one in found if one.points]:
        yield f"lateness  {', '.join(shown)} (arrival - time)"
    if lateness["seems_cut"]:
        last_s = found[-1].up_to_s - (found[-2].up_to_s if len(found) > 1 else 0)
        yield (
            f"warning   {human_number(found[-1].points)} of {human_number(number)} points came in the last {human_duration(last_s)} "
            f"of --late-s {found[-1].up_to_s}: others may have come after it and are dropped, a larger --late-s brings them back"
        )


def _unread_lines(report: dict[str, Any]) -> Iterator[str]:
    objects = report["unreadable_objects"]
    yield from (f"unread    {one['object']}: {one['cause']}" + (f" ({one['detail']})" if one["detail"] else "") for one in objects[:SHOWN_UNREADABLE])
    if len(objects) > SHOWN_UNREADABLE:
        yield f"          and more: {report['dead_letters']['file']} lists every object that was not read, with its cause"
    if objects:
        again = f"`rollups backfill --dead-letters {report['run_id']}` restores what they hold, or the same again under another run id"
        yield f"          when these objects can be read, {again}; --max-dead-letters accepts that they are missing"


def _dropped(report: dict[str, Any]) -> Counter[str]:
    """Dropped points by reason, over all types."""
    reasons: Counter[str] = Counter()
    for of_type in report["points"].values():
        reasons.update({term.removeprefix("dropped."): number for term, number in of_type.items() if term.startswith("dropped.")})
    return reasons


def change_lines(what: str, changes: list[dict[str, Any]]) -> Iterator[str]:
    """Buckets before and after for people."""
    for one in changes:
        series = "/".join(one[name] for name in ("metric_type", "org", "entity", "name")) + (one["labels"] if one["labels"] != "{}" else "")
        before, after = f"avg {one['stored_avg']} of {one['stored_minutes']} min", f"{one['avg']} of {one['minutes']} min"
        yield f"{what:9} {series} {one['granularity']} {one['bucket_start']}: {before} -> {after}"
