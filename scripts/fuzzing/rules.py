"""By what rules each decoder reads its mutations."""

from dataclasses import replace
from typing import Final

from transforms.core.flat import FlatMapping
from transforms.decode.objects import DecodeRules

RULES: Final = DecodeRules(org="default", max_object_bytes=1 << 22, max_record_bytes=1 << 16, max_dead_letters=10_000)

FLAT: Final = FlatMapping(time="at.ts", time_unit="ms", value="value.sum", name="metric", entity="device", labels=("tags.site", "room"), type="kind")

_FLAT_RULES: Final = replace(RULES, flat=FLAT)
_SPECIAL: Final = {
    "flat rows": _FLAT_RULES,
    "flat tables": _FLAT_RULES,
    "Firehose error output": replace(RULES, read_error_output=True),
}


def rules_of(name: str) -> DecodeRules:
    """The rules of a decoder of SEEDS."""
    return _SPECIAL.get(name, RULES)
