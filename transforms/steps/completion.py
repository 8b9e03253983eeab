"""What a run's ledger says: finished work, counts, dead letters."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from transforms.core.accounts import Account, Missing, UnitRecord, account, missing
from transforms.core.arrivals import united
from transforms.core.coverage import Coverage, over_by, when_read
from transforms.core.granularity import HOUR_S, Range
from transforms.core.model import DeadLetter
from transforms.core.plan import Plan
from transforms.core.time import unite
from transforms.core.transfer import AnyPlan
from transforms.decode.causes import LOST, UNREADABLE
from transforms.steps.ledger import Ledger
from transforms.steps.staging import Footer, read_arrivals, read_footer


def missing_of(plan: AnyPlan, ledger: Ledger) -> Missing:
    """Groups and units that are not finished."""
    return missing(plan, ledger.staged(), ledger.recorded_units())


def footers(plan: Plan, ledger: Ledger) -> Iterator[Footer]:
    """Footers of the staged groups, in order."""
    staged = ledger.staged()
    return (read_footer(ledger.staging_file(group)) for group in range(len(plan.groups)) if group in staged)


def records(plan: AnyPlan, ledger: Ledger) -> Iterator[UnitRecord]:
    """Records of the finished units, in the plan's order."""
    return (record for unit in plan.all_units() if (record := ledger.recorded(unit)))


def account_of(plan: Plan, ledger: Ledger) -> Account:
    """The run's sums so far."""
    return account([one.counts for one in footers(plan, ledger)], list(records(plan, ledger)))


def coverage_of(plan: Plan, ledger: Ledger) -> Coverage:
    """The planned coverage less what was not there when it was read: objects, as a whole or from some byte on, records, and records of some shards."""
    broken = {letter.object for letter in dead_letters(plan, ledger) if letter.cause in {*LOST, *UNREADABLE}}
    arrivals = united(read_arrivals(ledger.staging_file(group)) for group in sorted(ledger.staged()))
    unreadable_s = [span[0] for key in broken | arrivals.undecoded if (span := plan.request.keys.times(key))]
    return when_read(plan.coverage, unreadable_s, arrivals, over_by(plan.selection.needed(), plan.created_s))


def held_back(plan: Plan, ledger: Ledger) -> tuple[Range, ...]:
    """The hours whose coverage is below the run's minimum, once all groups are staged; their buckets are not written."""
    least = plan.request.min_coverage
    hours = coverage_of(plan, ledger).hours if least else ()
    return unite((one.start_s, one.start_s + HOUR_S) for one in hours if one.share < least)


def undelivered(ledger: Ledger) -> dict[str, Any]:
    """What writers did not take, as a report tells it: buckets in all and by cause, units, and where each is listed; empty if they took everything."""
    causes: Counter[str] = Counter()
    units = set()
    for one in ledger.write_dead_letters():
        causes[one["cause"]] += len(one["buckets"])
        units.add(one["unit"])
    by_cause = dict(sorted(causes.items()))
    return {"total": causes.total(), "units": len(units), "by_cause": by_cause, "folder": str(ledger.write_dead_letters_folder)} if units else {}


def undelivered_text(found: dict[str, Any]) -> str:
    """The same as a sentence."""
    causes = ", ".join(f"{cause} {number}" for cause, number in found["by_cause"].items())
    return f"{found['total']} buckets of {found['units']} units were not taken by the store's writer ({causes}): {found['folder']}"


def dead_letters(plan: Plan, ledger: Ledger) -> Iterator[DeadLetter]:
    """All dead letters of the staged groups, in manifest order."""
    return (letter for one in footers(plan, ledger) for letter in one.dead_letters)
