"""Ways in which an object goes bad: each leads to dead letters, never to other points."""

from collections.abc import Callable
from typing import Final


def truncated(body: bytes) -> bytes:
    """The object breaks off after three quarters."""
    return body[: len(body) * 3 // 4]


def _bad_json(text: str) -> str:
    """The record breaks off in its middle."""
    return text[: len(text) // 2]


def _unknown_type(text: str) -> str:
    return text.replace('"type":"host"', '"type":"trace"', 1).replace('"type":"service"', '"type":"trace"', 1)


def _broken_points(text: str) -> str:
    """Its first points become broken ones, each in another way."""
    broken = (
        '{"name":"broken.bool","time":1762000000,"value":true},{"name":"broken.object","time":1762000000,"value":{"a":1}},'
        '{"name":5,"time":1762000000,"value":1},{"time":1762000000,"value":1},{"name":"broken.time","time":"soon","value":1},'
        '{"name":"broken.year","time":915148800,"value":1},{"name":"broken.text","time":1762000000,"value":"high"},7,'
    )
    return text.replace('[{"name"', f'[{broken}{{"name"', 1)


def _broken_envelope(text: str) -> str:
    return text.replace('"metrics":[', '"metrics":"none","was":[', 1)


CORRUPTIONS: Final[dict[str, Callable[[str], str]]] = {
    "bad json": _bad_json,
    "unknown type": _unknown_type,
    "broken points": _broken_points,
    "broken envelope": _broken_envelope,
}
"""By name: turns the text of a record into a corrupt one."""
