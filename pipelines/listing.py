"""List an archive: keep what a run reads, count the rest, tell how far it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.outcome import human_number
from pipelines.runtime import Runtime
from transforms.archive import Archive
from transforms.core.granularity import Range
from transforms.core.keys import KeyLayout
from transforms.core.manifest import ArchiveObject, Manifest

SHOWN_EVERY: Final = 1000
"""Objects: a page of S3's."""

SAID_EVERY_S: Final = 30.0


@dataclass(frozen=True)
class Listed:
    """What was listed: `objects` in all, those to read as a manifest, and the first and last start of the times that keys show (None: no key does)."""

    manifest: Manifest
    objects: int
    span: Range | None


def list_archive(archive: Archive, layout: KeyLayout, times: Sequence[Range], runtime: Runtime) -> Listed:
    """Streams the listing; memory is that of the manifest. On a terminal the count so far is shown, else said every 30 s."""
    listing = _Listing(layout, times, runtime)
    manifest = Manifest.of(listing.chosen(archive.objects(times)))
    runtime.show("")
    return Listed(manifest, listing.objects, listing.span)


def say_retries(archive: Archive, runtime: Runtime) -> None:
    """Says how many calls had to be repeated since this was last asked, if any."""
    if retried := archive.retried():
        runtime.say("calls to the archive that were repeated: " + ", ".join(f"{reason} {number}" for reason, number in sorted(retried.items())))


class _Listing:
    def __init__(self, layout: KeyLayout, times: Sequence[Range], runtime: Runtime) -> None:
        self._layout, self._times, self._runtime = layout, times, runtime
        self._said_s = runtime.clock()
        self.objects = 0
        self.span: Range | None = None

    def chosen(self, objects: Iterator[ArchiveObject]) -> Iterator[ArchiveObject]:
        for one in objects:
            self.objects += 1
            if self.objects % SHOWN_EVERY == 0:
                self._tell(one.key)
            span = self._layout.times(one.key)
            if span is not None:
                first, last = self.span or (span[0], span[0])
                self.span = min(first, span[0]), max(last, span[0])
            if self._layout.may_hold(one.key, self._times):
                yield one

    def _tell(self, key: str) -> None:
        line = f"listing: {human_number(self.objects)} objects, at {key}"
        self._runtime.show(line)
        if not self._runtime.terminal and self._runtime.clock() - self._said_s >= SAID_EVERY_S:
            self._said_s = self._runtime.clock()
            self._runtime.say(line)
