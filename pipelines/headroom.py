"""`rollups headroom`: what is left of the services' limits for a recovery, now."""

from collections.abc import Sequence
from typing import Any, Final

from configs.headroom import HeadroomJob
from pipelines.outcome import Outcome, human_number, table
from pipelines.runtime import Runtime
from pipelines.watched import Services, account_of_lambda, check_any, services_of
from transforms.core.errors import IncompleteError, RefusedError
from transforms.core.headroom import Reading, Reserve, room_of
from transforms.core.time import format_time

HEAD: Final = ("service", "limit", "of", "in use", "by others", "reserve", "left for us", "as of")


def run(job: HeadroomJob, runtime: Runtime) -> Outcome:
    """Exit 5 if others already use the reserve or calls are refused, otherwise 3 if something could not be read, otherwise 0."""
    services = services_of((job.archive, job.store), job.s3_metrics_filter) if job.archive or job.store else account_of_lambda()
    check_any(services, job.archive, job.store)
    now_s = runtime.clock()
    readings = [reading for one in services.watched for reading in one.read(now_s)]
    limits = [_limit(reading, name, job.kept_free, now_s) for reading in readings for name in reading.names]
    data = {"limits": limits, "not_read": services.unwatched}
    return Outcome(exit_code=_exit_code(limits), data=data, text=_text(limits, services))


def _limit(reading: Reading, name: str, reserve: Reserve, now_s: float) -> dict[str, Any]:
    """One row. Nothing of what is in use is ours: this command does not run anything."""
    room = room_of(reading, name, reserve, own=0.0)
    found = {"limit": room.limit, "in_use": reading.used, "by_others": room.others, "reserve": room.reserve, "left": room.left} if room else {}
    missing = [*reading.missing, *(["the last reading is too old"] if not reading.missing and reading.is_stale(now_s) else [])]
    nothing = dict.fromkeys(("limit", "in_use", "by_others", "reserve", "left"))
    about = {"service": reading.what, "name": name}
    at = {"as_of": None if reading.missing else format_time(int(reading.end_s)), "refused": reading.refused, "missing": missing}
    return about | nothing | found | at | {"below_reserve": bool(room and room.left < 0)}


def _exit_code(limits: Sequence[dict[str, Any]]) -> int:
    if any(one["below_reserve"] or one["refused"] for one in limits):
        return RefusedError.exit_code
    return IncompleteError.exit_code if any(one["missing"] for one in limits) else 0


def _text(limits: Sequence[dict[str, Any]], services: Services) -> str:
    rows = [_row(one) for one in limits]
    lines = [table(HEAD, rows)] if rows else []
    lines += [f"{one['service']} ({one['name']}): others use the reserve: {-one['left']:,.0f} too many" for one in limits if one["below_reserve"]]
    lines += [f"{one['service']} ({one['name']}): {one['refused']:,.0f} calls were refused" for one in limits if one["refused"]]
    lines += [f"{one['service']} ({one['name']}): {cause}" for one in limits for cause in one["missing"]]
    return "\n".join([*lines, *(f"not read: {one}" for one in services.unwatched)])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    numbers = ("-" if one[key] is None else human_number(one[key]) for key in ("limit", "in_use", "by_others", "reserve", "left"))
    return (one["service"], one["name"], *numbers, one["as_of"] or "-")


if __name__ == "__main__":
    from pipelines.cli import run_as_module

    run_as_module("headroom")
