"""What framings take out of an object and schemas make points of."""

from typing import NamedTuple


class Payload(NamedTuple):
    """One record's bytes, where it stands in the inflated object, and when it arrived (integer microseconds)."""

    data: bytes
    offset: int
    arrival_us: int
