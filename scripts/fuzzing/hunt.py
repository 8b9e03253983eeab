"""Decodes mutation after mutation and says which of them broke a promise."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from scripts.fuzzing.invariants import broken_promise
from scripts.fuzzing.mutations import mutated
from scripts.fuzzing.rules import RULES
from transforms.decode.objects import DecodeRules, decode_object

MAX_S: Final = 5.0
"""CPU time that no payload of some kilobytes may take."""

MAX_GROWTH_BYTES: Final = 1 << 30
"""By which the largest size of the process may grow over a hunt."""

ENOUGH: Final = 10


@dataclass(frozen=True)
class Finding:
    """An input and the promise that it broke."""

    body: bytes
    problem: str


def hunt(seeds: Sequence[bytes], *, rounds: int, seed: int, rules: DecodeRules = RULES) -> list[Finding]:
    """The first mutations, of so many, that broke a promise when read by the rules; none if all is well."""
    found: list[Finding] = []
    size_bytes = _peak_bytes()
    for body in islice(mutated(seeds, seed), rounds):
        if problem := _problem(body, rules):
            found.append(Finding(body, problem))
        if _peak_bytes() - size_bytes > MAX_GROWTH_BYTES:
            found.append(Finding(body, f"memory grew by {_peak_bytes() - size_bytes} bytes"))
            break
        if len(found) >= ENOUGH:
            break
    return found


def _problem(body: bytes, rules: DecodeRules) -> str:
    began_s = time.process_time()
    try:
        decoded = decode_object(body, key="2025/11/01/12/fuzz-1-2025-11-01-12-26-40-0", arrival_us=1_762_000_000_000_000, rules=rules)
    except Exception as error:  # noqa: BLE001 - that nothing comes out is the promise
        return f"raised {type(error).__name__}: {error}"[:300]
    if (took_s := time.process_time() - began_s) > MAX_S:
        return f"took {took_s:.1f} s for {len(body)} bytes"
    return broken_promise(decoded, body)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * 1024 if peak < 1 << 33 else peak
