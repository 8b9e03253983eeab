"""Stop the process, or so it seems to the code, at any step on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from transforms.stores.files import Files


class Stopped(BaseException):
    """The process ends here. Not an Exception: nothing on the way may go on after it."""


def steps_of(work: Callable[[], object]) -> list[str]:
    """The moments before and after every step on disk that `work` takes, each with the number of times that it came before."""
    seen: list[str] = []
    with _watched(seen.append):
        work()
    return [f"{name} #{seen[:place].count(name)}" for place, name in enumerate(seen)]


def stop_at(moment: str, work: Callable[[], object]) -> None:
    """Runs `work` until the moment that `steps_of` named."""
    name, _, number = moment.rpartition(" #")
    left = int(number)

    def watch(passed: str) -> None:
        nonlocal left
        if passed == name:
            if left == 0:
                raise Stopped(name)
            left -= 1

    with _watched(watch), pytest.raises(Stopped):
        work()


@contextmanager
def _watched(tell: Callable[[str], None]) -> Iterator[None]:
    @contextmanager
    def step(_self: Files, name: str) -> Iterator[None]:
        tell(f"before {name}")
        yield
        tell(f"after {name}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "step", step)
        yield
