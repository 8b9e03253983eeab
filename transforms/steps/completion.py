"""What a run's ledger says: finished work, counts, dead letters."""

from collections.abc import Iterator

from transforms.core.accounts import Account, Missing, UnitRecord, account, missing
from transforms.core.model import DeadLetter
from transforms.core.plan import Plan
from transforms.steps.ledger import Ledger
from transforms.steps.staging import Footer, read_footer


def missing_of(plan: Plan, ledger: Ledger) -> Missing:
    """Groups and units that are not finished."""
    return missing(plan, ledger.staged(), ledger.recorded_units())


def footers(plan: Plan, ledger: Ledger) -> Iterator[Footer]:
    """Footers of the staged groups, in order."""
    staged = ledger.staged()
    return (read_footer(ledger.staging_file(group)) for group in range(len(plan.groups)) if group in staged)


def records(plan: Plan, ledger: Ledger) -> Iterator[UnitRecord]:
    """Records of the finished units, in the plan's order."""
    return (record for unit in plan.all_units() if (record := ledger.recorded(unit)))


def account_of(plan: Plan, ledger: Ledger) -> Account:
    """The run's sums so far."""
    return account([one.counts for one in footers(plan, ledger)], list(records(plan, ledger)))


def dead_letters(plan: Plan, ledger: Ledger) -> Iterator[DeadLetter]:
    """All dead letters of the staged groups, in manifest order."""
    return (letter for one in footers(plan, ledger) for letter in one.dead_letters)
