"""Packages that libraries import if they are there, and that nothing here has a use for."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

UNNEEDED: Final = ("pandas",)
"""PyArrow imports it at the first array that it makes, and Beam at once: a quarter of a second of every command and worker process."""


class _Refusal(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        del path, target
        if fullname in UNNEEDED:
            msg = f"{fullname} is not for the commands"
            raise ModuleNotFoundError(msg, name=fullname)
        return None


def do_without_unneeded() -> None:
    """Lets this process, from now on, be one in which they are not installed; those that were imported before stay."""
    sys.meta_path.insert(0, _Refusal())
