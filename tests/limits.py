"""Limits for tests."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from transforms.calls.control import FixedControl, Wishes
from transforms.calls.limits import Limits
from transforms.calls.waiting import Waiting
from transforms.core.limits import Rates

LOOSE: dict[str, Any] = {one.name: 1_000_000_000 for one in fields(Rates) if one.name != "limiter"} | {"bytes_per_s": 0, "ramp_double_s": 1}


def limits(waiting: Waiting | None = None, work_dir: Path | None = None, **rates: Any) -> Limits:
    """Those that are given; nobody notices the others."""
    return Limits(work_dir, FixedControl(Wishes(rates=Rates(**LOOSE | rates))), waiting)
