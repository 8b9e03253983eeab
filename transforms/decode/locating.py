"""Where the elements of a JSON record stand, by their path: what dead letters of points deep inside a record need."""

from typing import Final

from transforms.decode.framing import members

Path = tuple[str | int, ...]

_ROOT: Final[Path] = ()


class Locator:
    """Byte ranges of the elements of one record of valid JSON. Each container is looked through once."""

    def __init__(self, record: bytes) -> None:
        self._record = record
        self._text = record.decode("latin-1")
        self._found: dict[Path, dict[str | int, tuple[int, int]]] = {}

    def raw(self, path: Path) -> bytes:
        """The bytes of an element that is there."""
        start, end = self._span(path)
        return self._record[start:end]

    def _span(self, path: Path) -> tuple[int, int]:
        if path == _ROOT:
            start = len(self._text) - len(self._text.lstrip(" \t\r\n\x0b\x0cï»¿"))
            return start, len(self._text)
        return self._children(path[:-1])[path[-1]]

    def _children(self, path: Path) -> dict[str | int, tuple[int, int]]:
        if path not in self._found:
            start, _ = self._span(path)
            is_array = self._text[start] == "["
            found = members(self._text, start)
            self._found[path] = {(place if is_array else name): (at, end) for place, (name, at, end) in enumerate(found)}
        return self._found[path]
