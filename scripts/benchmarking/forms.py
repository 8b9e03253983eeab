"""Decoding alone, form by form: points per CPU second of `decode_object` on the same points in every form that archives have."""

import gzip
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import zstandard

from transforms.decode.objects import DecodeRules, decode_object

START_S: Final = 1_762_000_020
_ARRIVAL_US: Final = START_S * 1_000_000
_KEY: Final = "2025/11/01/12/forms-1-2025-11-01-12-27-00-0"

Posting = dict[str, Any]


@dataclass(frozen=True)
class FormSpeed:
    """One form: size as stored, points, and the median CPU seconds of decoding it once."""

    name: str
    stored_bytes: int
    points: int
    cpu_s: float

    @property
    def points_per_cpu_s(self) -> float:
        """What the table shows."""
        return self.points / self.cpu_s

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        return self.name, f"{self.stored_bytes / 1e6:.2f}", f"{self.points:,}", f"{self.points_per_cpu_s:,.0f}"


HEAD: Final = ("form", "stored MB", "points", "points per CPU s")


def postings(points: int) -> list[Posting]:
    """Host postings of 50 points each, a minute apart."""
    return [
        {
            "type": "host",
            "org": "acme",
            "hostId": f"host-{number % 20:04d}",
            "receivedAt": START_S + number // 20 * 60 + 0.25,
            "metrics": [{"name": f"cpu.core{one}.user", "time": START_S + number // 20 * 60, "value": one + number / 7} for one in range(50)],
        }
        for number in range(points // 50)
    ]


def _concatenated(given: list[Posting]) -> bytes:
    return b"".join(json.dumps(one, separators=(",", ":")).encode() for one in given)


def _lines(given: list[Posting]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in given)


def _bare(given: list[Posting]) -> bytes:
    arrays = ([{"hostId": one["hostId"], **point} for point in one["metrics"]] for one in given)
    return b"".join(json.dumps(one, separators=(",", ":")).encode() for one in arrays)


FORMS: Final[Mapping[str, Callable[[list[Posting]], bytes]]] = {
    "postings, plain": _concatenated,
    "postings, gzip": lambda given: gzip.compress(_concatenated(given), mtime=0),
    "postings, zstd": lambda given: zstandard.compress(_concatenated(given)),
    "postings, NDJSON with spaces": _lines,
    "bare host arrays": _bare,
}
"""A new form gets a line here."""


def measure_forms(points: int, *, repeat: int = 5) -> list[FormSpeed]:
    """Every form decoded `repeat` times, in turns."""
    given = postings(points)
    bodies = {name: form(given) for name, form in FORMS.items()}
    taken_s: dict[str, list[float]] = {name: [] for name in bodies}
    found: dict[str, int] = {}
    for _ in range(repeat):
        for name, body in bodies.items():
            began_s = time.process_time()
            decoded = decode_object(body, key=_KEY, arrival_us=_ARRIVAL_US, rules=DecodeRules())
            taken_s[name].append(time.process_time() - began_s)
            found[name] = len(decoded.points.value)
    return [FormSpeed(name, len(body), found[name], sorted(taken_s[name])[repeat // 2]) for name, body in bodies.items()]
