"""What a plan's sample warns of: points that the run would read and drop."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pipelines.outcome import human_duration, human_number
from transforms.core.key_patterns import pattern_of
from transforms.core.manifest import ArchiveObject
from transforms.core.plan import Plan


def sample_warnings(plan: Plan, objects: Sequence[ArchiveObject]) -> list[str]:
    """Why most of the sample's points would be dropped, and what to do about it; nothing if most would not. `objects` are those of the manifest."""
    estimate, reach = plan.estimate, plan.request.reach
    if 2 * (estimate.sampled_late + estimate.sampled_early) <= estimate.sampled_points:
        return []
    kinds = (("late", estimate.sampled_late, "after", reach.late_s), ("early", estimate.sampled_early, "before", reach.early_s))
    return [
        f"{_share(number, estimate.sampled_points)} points of the sample would be dropped as {what}: "
        f"they came more than {human_duration(limit_s)} {where} their time{_because(plan, objects, what)}"
        for what, number, where, limit_s in kinds
        if number
    ]


def _share(number: int, points: int) -> str:
    return f"all {human_number(points)}" if number == points else f"{human_number(number)} of {human_number(points)}"


def _because(plan: Plan, objects: Sequence[ArchiveObject], what: str) -> str:
    if plan.untimed_objects < len(objects):
        return f"; accept them with --{what}-s, or see `rollups inspect`"
    why = ", for objects show no time in their key and count as arrived when they were last changed; "
    pattern = next(_patterns(objects), "")
    return why + (f"their folders look like --key-pattern {pattern}" if pattern else f"name --key-pattern, or accept them with --{what}-s")


def _patterns(objects: Sequence[ArchiveObject]) -> Iterator[str]:
    """Those of the objects' folders, the most frequent first."""
    found = Counter(pattern for one in objects if (pattern := pattern_of(one.key)))
    yield from (pattern for pattern, _ in found.most_common())
