"""Which folders of a bucket are listed, and how: side by side, page by page, only those that may hold what is wanted. Knows nothing of S3's client."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from transforms.core.granularity import Range
from transforms.core.keys import KeyLayout, touches
from transforms.core.manifest import ArchiveObject


class PageRequest(NamedTuple):
    """One page of a folder (empty, or with a slash at its end): of all that is below it if `deep`, else of its own objects and folders."""

    folder: str
    deep: bool
    token: str = ""


class Page(NamedTuple):
    """What was listed. `token` asks for the next page, empty after the last."""

    objects: Sequence[ArchiveObject]
    folders: Sequence[str]
    token: str


Fetch = Callable[[PageRequest], Page]


def walk(fetch: Fetch, layout: KeyLayout, times: Sequence[Range] | None, threads: int) -> Iterator[ArchiveObject]:
    """Objects of all folders but those that the layout dates outside of the wanted times. At most `threads` pages are held at once.

    Folders that the layout does not know are listed whole. An archive without any that it knows is one flat listing, as is one without `times`.
    """
    request = PageRequest("", deep=times is None)
    page = fetch(request)
    if times is not None and page.folders and all(layout.folder_times(one) is None for one in page.folders):
        request = PageRequest("", deep=True)
        page = fetch(request)
    yield from page.objects
    yield from _side_by_side(fetch, _following(request, page, layout, times), threads, lambda asked, got: _following(asked, got, layout, times))


def _following(request: PageRequest, page: Page, layout: KeyLayout, times: Sequence[Range] | None) -> list[PageRequest]:
    """What a page leads to: the rest of its folder, and folders below it."""
    rest = [request._replace(token=page.token)] if page.token else []
    return rest + [_listing_of(folder, layout) for folder in page.folders if touches(layout.folder_times(folder), times or ())]


def _listing_of(folder: str, layout: KeyLayout) -> PageRequest:
    return PageRequest(folder, deep=layout.folder_times(folder) is None or layout.is_deepest(folder))


def _side_by_side(
    fetch: Fetch, waiting: list[PageRequest], threads: int, following: Callable[[PageRequest, Page], list[PageRequest]]
) -> Iterator[ArchiveObject]:
    """Depth first, so that few requests wait."""
    running: dict[Future[Page], PageRequest] = {}
    with ThreadPoolExecutor(threads) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < threads:
                    request = waiting.pop()
                    running[pool.submit(fetch, request)] = request
                for one in wait(running, return_when=FIRST_COMPLETED).done:
                    request, page = running.pop(one), one.result()
                    waiting.extend(following(request, page))
                    yield from page.objects
        finally:
            for one in running:
                one.cancel()
