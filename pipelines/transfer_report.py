"""What a run from store to store did: sums from its ledger, and the exit code they mean."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from pipelines.alarms import alarms
from pipelines.costs import used_data, used_lines
from pipelines.outcome import human_duration, human_number, table
from pipelines.plan import edge_texts
from pipelines.report import BUCKETS, SHOWN_REFUSED, STATES, change_data, change_lines, largest, refused_lines
from pipelines.runtime import Runtime
from pipelines.verification import add_verification, differs, verification, verification_lines
from transforms.core.accounts import Account, UnitRecord, account
from transforms.core.counts import retries_of, throttled, throttled_text, total
from transforms.core.live import left_text
from transforms.core.outcome import LARGEST_CHANGES
from transforms.core.stopwatch import add_steps
from transforms.core.time import format_period
from transforms.core.transfer import StorePlan
from transforms.steps.completion import records
from transforms.steps.ledger import Ledger

TERMS: Final = ("points", "stored", "outside.time", "outside.series", "refused", "refused.unusable")


def finish_transfer(ledger: Ledger, plan: StorePlan, runtime: Runtime, *, skip_live: bool, duration_s: float) -> dict[str, Any]:
    """The report of a run that has nothing left to do; stored, with the refused buckets as a file beside it."""
    report = ledger.report()
    if report is None or report["imbalances"]:
        done = list(records(plan, ledger))
        ledger.write_lines("refused.jsonl", refused_lines(done))
        report = _report(plan, ledger, account([], done), done) | {"duration_s": round(duration_s, 3), "steps": add_steps(one.steps for one in done)}
        add_verification(report, verification(plan, ledger, done, runtime))
        report["calls"] = used_data(ledger.tally.used(), ledger.budget(), plan.expected if plan.reckoned.seconds else None)
        report["alarms"] = alarms(ledger)
    report["exit_code"] = _exit_code(report, skip_live=skip_live)
    report["state"] = STATES[report["exit_code"]]
    ledger.store_report(report)
    return report


def _exit_code(report: dict[str, Any], *, skip_live: bool) -> int:
    """The first that applies (DESIGN §4.9)."""
    if report["imbalances"]:
        return 1
    kept = ("refused",) if skip_live else ("refused", "left")
    refused = any(tally[name] for of_type in report["buckets"].values() for tally in of_type.values() for name in kept)
    if refused or any(of_type.get("refused.unusable") for of_type in report["read"].values()):
        return 5
    return 4 if differs(report["verification"]) else 0


def _report(plan: StorePlan, ledger: Ledger, sums: Account, done: list[UnitRecord]) -> dict[str, Any]:
    request = plan.request
    return {
        "run_id": plan.run_id,
        "command": request.command,
        "dry_run": request.dry_run,
        "generation": plan.generation,
        "from": request.source,
        "store": request.store,
        "periods": [format_period(one) for one in plan.periods],
        "granularities": {"read": list(request.read()), "written": list(request.granularities)},
        "computed": {name: [format_period(one) for one in ranges] for name, ranges in plan.selection.computed.items()},
        "edges": edge_texts(plan),
        "left_rule": left_text(plan.left),
        "retries": retries_of(sums.counts),
        "units": len(done),
        "throttled_s": throttled(sums.counts),
        "counted": "rows" if request.command == "copy" else "minutes",
        "read": {
            name: {term.replace("points", "read"): sums.counts[term][name] for term in TERMS if name in sums.counts.get(term, {})}
            for name in request.metric_types
        },
        "overflowing_sums": total(sums.counts, "overflows"),
        "rebinned_histograms": total(sums.counts, "rebinned"),
        "imbalances": list(sums.imbalances()),
        "buckets": {name: {one: asdict(tally) for one, tally in of_type.items()} for name, of_type in sums.tallies.items()},
        "refused_file": str(ledger.path / "refused.jsonl"),
        "refused": [change_data(one, record.unit.metric_type) for one, record in largest(done, "refused", SHOWN_REFUSED)],
        "largest_changes": [change_data(one, record.unit.metric_type) for one, record in largest(done, "changes", LARGEST_CHANGES)],
    }


def transfer_report_text(report: dict[str, Any]) -> str:
    """The report for people."""
    names = [*BUCKETS, *(["left"] if report["left_rule"] else [])]
    rows = [
        (f"{name} {granularity}", *(human_number(tally[what]) for what in names))
        for name, of_type in report["buckets"].items()
        for granularity, tally in of_type.items()
        if any(tally.values())
    ]
    counted = report["counted"]
    read = [(name, *(human_number(of_type.get(term.replace("points", "read"), 0)) for term in TERMS)) for name, of_type in report["read"].items() if of_type]
    parts = [
        f"{report['command']} run {report['run_id']}: {report['state']}"
        + (" (dry run: nothing was written)" if report["dry_run"] else "")
        + f" in {human_duration(report['duration_s'])}",
        f"from      {report['from']}: {', '.join(report['granularities']['read'])}",
        *(f"period    {one}" for one in report["periods"]),
        *(f"edge      {name}: {text}" for name, text in report["edges"].items()),
        "",
        table(("buckets", *names), rows),
        "",
        table((counted, "read", "stored", "outside time", "outside series", "refused", "unusable"), read),
        "",
        *_closing_lines(report),
    ]
    return "\n".join(parts)


def _closing_lines(report: dict[str, Any]) -> Iterator[str]:
    if nothing := [name for name, of_type in report["read"].items() if not of_type]:
        yield f"nothing   {', '.join(nothing)}: the source has nothing of the period"
    if report["overflowing_sums"]:
        yield f"sums beyond the largest number: {human_number(report['overflowing_sums'])}"
    if report["rebinned_histograms"]:
        yield f"histograms with wider buckets than they came with: {human_number(report['rebinned_histograms'])}"
    if unusable := sum(of_type.get("refused.unusable", 0) for of_type in report["read"].values()):
        yield f"unusable  {human_number(unusable)} minutes are in buckets of which a stored row lacks what rolling up takes: they were not written"
    if report["throttled_s"]:
        yield f"throttled {throttled_text(report['throttled_s'])}"
    yield from change_lines("refused", report["refused"])
    if report["refused"]:
        more = "; --allow-fewer replaces them" if report["command"] == "recalculate" else ""
        yield f"          stored rollups of more minutes were kept; all of them: {report['refused_file']}{more}"
    if left := sum(tally["left"] for of_type in report["buckets"].values() for tally in of_type.values()):
        yield f"left      to the live writer: {human_number(left)} ({report['left_rule']}); --skip-live accepts that, --include-live writes them"
    if "calls" in report:
        yield from used_lines(report["calls"])
    yield from change_lines("changed", report["largest_changes"])
    if report["retries"]:
        yield "retries   " + ", ".join(f"{reason} {human_number(number)}" for reason, number in report["retries"].items())
    yield from verification_lines(report["verification"])
    yield from (f"SUMS DIFFER  {sentence}" for sentence in report["imbalances"])
