"""Before-images of a run in a DynamoDB table, and the roster of the series of a unit."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from transforms.core.errors import RefusedError
from transforms.core.units import Unit
from transforms.stores.dynamodb_calls import Condition, TableCalls, at_of
from transforms.stores.dynamodb_layout import AFTER, RUNS, Found, Series, absent_image, cut, found, series_of

if TYPE_CHECKING:
    from transforms.stores.dynamodb_writing import Rules


class Image(NamedTuple):
    """What an item was before a run replaced it; no body, if it was not there. `number` orders the images of an item, the larger is the newer."""

    text: str
    name: str
    number: int
    body: bytes | None


class Images:
    """Before-images that a run has of one unit and granularity."""

    def __init__(self, calls: TableCalls, run_id: str, unit: Unit, granularity: str, rules: "Rules") -> None:
        """Touches nothing."""
        self._calls, self._run_id, self._unit, self._granularity, self._rules = calls, run_id, unit, granularity, rules
        self._where = f"{unit}/{granularity}"
        self._expires = _expires(rules)
        self._place = f"before/{run_id}/{self._where}"
        self._announced = False

    def keep(self, items: Sequence[tuple[Series, str, Found | None]]) -> None:
        """Keep what the items named are, None if they are not there, and note their series in the unit's roster."""
        if not items:
            return
        self._announce()
        Roster(self._calls, self._unit).add({series for series, _, _ in items})
        now_ms = self._rules.now_ms()
        absent: dict[Series, list[str]] = {}
        images: list[list[dict[str, Any]]] = []
        for series, name, item in items:
            if item is None:
                absent.setdefault(series, []).append(name)
            else:
                images.append(self._image(series, name, item, now_ms))
        images += [[absent_image(self._place, series, names, now_ms) | self._expires] for series, names in absent.items()]
        self._calls.put_cut("image", images)

    def _image(self, series: Series, name: str, item: Found, now_ms: int) -> list[dict[str, Any]]:
        number = item.version if item.version is not None else now_ms
        image = {
            "series": {"S": self._place},
            "item": {"S": f"{series.digest}/{name}/{number:013d}"},
            "text": {"S": series.text},
            "version": {"N": str(number)},
            **self._expires,
        }
        return cut(image, item.body or b"", self._rules.token())

    def _announce(self) -> None:
        """Before the first image: that the run has some, and of what."""
        if self._announced:
            return
        self._calls.put_all("index", [{"series": {"S": RUNS}, "item": {"S": self._run_id}} | self._expires])
        index = {"series": {"S": f"before/{self._run_id}"}, "item": {"S": self._where}} | self._expires
        now = {":now": {"N": str(self._rules.now_ms() // 1000)}}
        self._calls.put("index", index, Condition("attribute_not_exists(series) OR expires <= :now", now))  # the first images are gone first
        self._announced = True

    def all(self) -> Iterator[Image]:
        """All of them, in no order."""
        items = {at_of(one): one for one in self._calls.query("image", self._place, " ", AFTER)}
        for (_, name), item in items.items():
            if "text" not in item:
                continue
            _, of, number = name.split("/")[:3]
            text = item["text"]["S"]
            if "absent" in item:
                yield from (Image(text, one, int(number), None) for one in item["absent"]["S"].split(","))
                continue
            whole = found(item, items)
            if whole.body is None:
                raise RefusedError(f"reading the before-image {self._place} {name} of {self._calls.place.name}: one of {', '.join(whole.part_names)} is gone")
            yield Image(text, of, int(number), whole.body)


def _expires(rules: "Rules") -> dict[str, Any]:
    """The attribute of what a run begins to keep now."""
    return {"expires": {"N": str(rules.now_ms() // 1000 + rules.undo_s)}} if rules.undo_s else {}


def imaged(calls: TableCalls, run_id: str, now_ms: int) -> Iterator[tuple[Unit, str]]:
    """Units and granularities of which the run has before-images, none of which has expired, sorted."""
    for item in calls.query("index", f"before/{run_id}", " ", AFTER):
        if "expires" in item and int(item["expires"]["N"]) * 1000 <= now_ms:
            continue
        name, granularity = item["item"]["S"].split("/")
        metric_type, _, place = name.partition("-")
        window, _, shard = place.rpartition("-")
        yield Unit(metric_type, window, int(shard)), granularity


def imaging_runs(calls: TableCalls) -> list[str]:
    """Runs that have before-images, sorted."""
    return [str(item["item"]["S"]) for item in calls.query("index", RUNS, " ", AFTER)]


class Roster:
    """The series of a unit of which this software wrote something: without it, reading a unit would mean reading the whole table."""

    def __init__(self, calls: TableCalls, unit: Unit) -> None:
        """Touches nothing."""
        self._calls, self._place = calls, f"roster/{unit}"

    def series(self) -> list[Series]:
        """All of them."""
        return [series_of(str(item["text"]["S"])) for item in self._calls.query("roster", self._place, " ", AFTER)]

    def add(self, series: Collection[Series]) -> None:
        """Note those that are not."""
        missing = set(series) - set(self.series())
        self._calls.put_all("roster", [{"series": {"S": self._place}, "item": {"S": one.digest}, "text": {"S": one.text}} for one in missing])
