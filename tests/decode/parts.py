"""What readers of records made, as plain values that compare."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transforms.core.model import POINT_KINDS, DecodedObject, DecodeTally
from transforms.decode.collecting import Message, Part

ARRIVAL_US = 1_762_000_000_000_000
FOLDER = Path(__file__).parents[1] / "data"


class Plain(NamedTuple):
    """Points as `(posting, name, labels, kind, start_us, time_us, time_s, value, histogram)`; values are hexadecimal floats."""

    postings: list[tuple[Any, ...]]
    points: list[tuple[Any, ...]]
    dead: list[tuple[str, int, str, bytes]]
    tally: DecodeTally


def plain(decoded: DecodedObject) -> Plain:
    postings, points = decoded.postings, decoded.points
    length = len(points.value)
    columns = (
        points.posting.tolist(),
        points.name.to_pylist(),
        ["{}"] * length if points.labels is None else points.labels.to_pylist(),
        [POINT_KINDS[one] for one in ([0] * length if points.kind is None else points.kind.tolist())],
        [0] * length if points.start_us is None else points.start_us.tolist(),
        [one * 10**6 for one in points.time_s.tolist()] if points.time_us is None else points.time_us.tolist(),
        points.time_s.tolist(),
        [value.hex() for value in points.value.tolist()],
        [None] * length if points.histogram is None else points.histogram.to_pylist(),
    )
    texts = (column.to_pylist() for column in (postings.metric_type, postings.org, postings.entity, postings.roles))
    return Plain(
        list(zip(*texts, postings.arrival_us.tolist(), strict=True)),
        list(zip(*columns, strict=True)),
        [(letter.object, letter.offset, letter.cause, letter.raw) for letter in decoded.dead_letters],
        decoded.tally,
    )


def plain_part(part: Part) -> tuple[Plain, list[int], list[int]]:
    return plain(part.decoded), part.posting_record.tolist(), part.letter_record.tolist()


def messages(requests: Sequence[bytes]) -> list[Message]:
    """Records of which no two are alike."""
    return [Message(data, f"org{place % 3}", ARRIVAL_US + place, 100 * place, b"raw %d" % place) for place, data in enumerate(requests)]


def otlp_exports() -> list[bytes]:
    """Real requests."""
    lines = (FOLDER / "otlp-exports.ndjson").read_text().splitlines()
    return [base64.b64decode(json.loads(line)["body_base64"]) for line in lines]
