"""Where a run's figures are put for dashboards: a text file, a Pushgateway."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client import CollectorRegistry, push_to_gateway, write_to_textfile
from prometheus_client.exposition import basic_auth_handler

from configs.publishing import Published
from pipelines.figures import Figures, Use
from pipelines.metric_families import Moment, registry_of

EVERY_S: Final = 10.0

GATEWAY_TIMEOUT_S: Final = 5.0

JOB: Final = "metric_rollups"
"""Under which a Pushgateway keeps them, together with the run id."""


class Place(Protocol):
    """Where figures are put, each time whole."""

    name: str

    def put(self, run_id: str, registry: CollectorRegistry) -> None:
        """Replaces what is there of this run. Raises OSError, HTTPException or ValueError."""


class TextFile:
    """A file that is replaced in one step."""

    def __init__(self, path: str) -> None:
        """Writes nothing yet."""
        self.name = path

    def put(self, run_id: str, registry: CollectorRegistry) -> None:  # noqa: ARG002 - a file is of one run
        """As the protocol says."""
        write_to_textfile(self.name, registry)


class Gateway:
    """A Pushgateway, asked to replace the group of this job and run id."""

    def __init__(self, url: str, timeout_s: float = GATEWAY_TIMEOUT_S) -> None:
        """Sends nothing yet."""
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        self.name = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
        self._user, self._password, self._timeout_s = unquote(parts.username or ""), unquote(parts.password or ""), timeout_s

    def put(self, run_id: str, registry: CollectorRegistry) -> None:
        """As the protocol says."""
        push_to_gateway(self.name, JOB, registry, {"run_id": run_id}, self._timeout_s, self._sender)

    def _sender(self, url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes) -> Callable[[], None]:
        """Without a user nothing is said of one."""
        return basic_auth_handler(url, method, timeout, headers, data, self._user or None, self._password or None)


def places_of(asked: Published) -> Sequence[Place]:
    """Those that are asked for."""
    places: list[Place] = []
    if asked.metrics_file:
        places.append(TextFile(asked.metrics_file))
    if asked.metrics_url:
        places.append(Gateway(asked.metrics_url))
    return places


@dataclass
class Publisher:
    """Puts figures into places, and tells once when a place begins to refuse them, and once when it takes them again."""

    places: Sequence[Place]
    tell: Callable[[str], None]
    refusing: set[str] = field(default_factory=set)

    def publish(self, at: Moment, figures: Figures, use: Use) -> None:
        """To every place; what one refuses it gets with the next figures."""
        registry = registry_of(at, figures, use)
        for place in self.places:
            try:
                place.put(at.run_id, registry)
            except (OSError, HTTPException, ValueError) as error:
                if place.name not in self.refusing:
                    self.tell(f"metrics: {place.name} does not take them ({error}); the run works on, and they are told again every {EVERY_S:g} s")
                self.refusing.add(place.name)
            else:
                if place.name in self.refusing:
                    self.tell(f"metrics: {place.name} takes them again")
                self.refusing.discard(place.name)
