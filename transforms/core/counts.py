"""Counts by term and metric type, and the sums that must hold between them (DESIGN §4.2).

A `Counts` maps a term such as `points` or `dropped.late` to numbers by metric type. Each term is counted once, where it happens; counts of parts are added.
"""

from collections.abc import Iterable, Mapping
from typing import Final

Counts = dict[str, dict[str, int]]

INCOMING: Final = ("points", "role_copies", "lead_in_copies")
"""Terms that bring points in."""

RECORDS: Final = "records"
"""The pseudo type under which records are counted: they have no metric type before they are decoded."""

_RETRIES: Final = "retries."


def count(counts: Counts, term: str, metric_type: str, number: int) -> None:
    """Adds to one term in place; zeros leave no trace."""
    if number:
        of_term = counts.setdefault(term, {})
        of_term[metric_type] = of_term.get(metric_type, 0) + int(number)


def count_retries(counts: Counts, repeated: Mapping[str, int]) -> None:
    """Adds how many calls were repeated, by reason, in place; `retries_of` tells."""
    for reason, times in repeated.items():
        count(counts, f"{_RETRIES}{reason}", RECORDS, times)


def retries_of(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """How many calls were repeated, by reason; those to a store begin with its name."""
    return {term.removeprefix(_RETRIES): sum(of_term.values()) for term, of_term in sorted(counts.items()) if term.startswith(_RETRIES)}


def add_counts(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> Counts:
    """The sum of the parts."""
    total: Counts = {}
    for part in parts:
        for term, by_type in part.items():
            for metric_type, number in by_type.items():
                count(total, term, metric_type, number)
    return total


def total(counts: Mapping[str, Mapping[str, int]], *prefixes: str, metric_type: str | None = None) -> int:
    """Sum of the terms that equal a prefix or continue it with a dot, over all types or one."""
    return sum(
        number
        for term, by_type in counts.items()
        if any(term == prefix or term.startswith(f"{prefix}.") for prefix in prefixes)
        for name, number in by_type.items()
        if metric_type in (None, name)
    )


def throttled(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """Seconds that threads waited, by service and cause, of terms such as `throttled_ms.s3.limit`."""
    found: dict[str, dict[str, float]] = {}
    for term in sorted(counts):
        name, _, rest = term.partition(".")
        if name == "throttled_ms":
            service, _, cause = rest.partition(".")
            found.setdefault(service, {})[cause] = total(counts, term) / 1000
    return found


def throttled_text(found: Mapping[str, Mapping[str, float]]) -> str:
    """`s3 12 s (limit 10, ramp 2)`: added up over all threads."""
    parts = []
    for service, causes in found.items():
        each = ", ".join(f"{cause} {seconds:,.1f}" for cause, seconds in causes.items())
        parts.append(f"{service} {sum(causes.values()):,.1f} s of all threads ({each})")
    return "; ".join(parts)


def throttled_short(found: Mapping[str, Mapping[str, float]]) -> str:
    """`s3 12 s, dynamodb 3 s`: added up over all threads and causes."""
    return ", ".join(f"{service} {sum(causes.values()):,.0f} s" for service, causes in found.items())


def imbalances(counts: Mapping[str, Mapping[str, int]], outgoing: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence with both sums and every term for each metric type whose incoming points differ from the outgoing ones; none if all is accounted for."""
    types = sorted({name for term, by_type in counts.items() for name in by_type if term.split(".")[0] in {*INCOMING, *outgoing}})
    found = []
    for metric_type in types:
        came, went = total(counts, *INCOMING, metric_type=metric_type), total(counts, *outgoing, metric_type=metric_type)
        if came != went:
            terms = ", ".join(f"{term} {by_type[metric_type]}" for term, by_type in sorted(counts.items()) if metric_type in by_type)
            found.append(f"{metric_type}: {came} points came in and {went} are accounted for ({terms})")
    return tuple(found)


def by_cause(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Dead letters by cause, of terms such as `cause.not_json`."""
    return {term.removeprefix("cause."): total(counts, term) for term in sorted(counts) if term.startswith("cause.")}
