"""Defaults from a YAML file."""

from collections.abc import Iterable

import yaml

from configs.options import Option, nearest, parse_value
from transforms.core.errors import UsageError


def load_config(path: str, options: Iterable[Option]) -> dict[str, object]:
    """The values that a YAML mapping of option keys gives. Raises UsageError naming the file and the key for anything else."""
    known = {one.key: one for one in options if one.key != "config"}
    written = _read(path)
    values = {}
    for key, value in written.items():
        if key not in known:
            msg = f"{path}: unknown key {key!r}{nearest(str(key), known)}"
            raise UsageError(msg)
        values[str(key)] = parse_value(known[str(key)], value, f"{path}, {key}")
    return values


def _read(path: str) -> dict[object, object]:
    try:
        with open(path, encoding="utf-8") as file:
            written = yaml.safe_load(file)
    except OSError as error:
        msg = f"reading the configuration {path!r}: {error.strerror}"
        raise UsageError(msg) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"the configuration {path!r} is no YAML: {' '.join(str(error).split())}"
        raise UsageError(msg) from None
    if written is None:
        return {}
    if not isinstance(written, dict):
        msg = f"the configuration {path!r} is a {type(written).__name__}: it must be a mapping of option names to values"
        raise UsageError(msg)
    return written
