"""Defaults from a YAML file."""

from collections.abc import Iterable
from typing import Final

from configs.headroom import HEADROOM_OPTIONS
from configs.option import Option, nearest, parse_value
from configs.options import EVERY_OPTION
from configs.store_command_options import STORE_COMMAND_OPTIONS
from configs.yaml_file import read_mapping
from transforms.core.errors import UsageError

_FLAGS: Final = {"true": True, "false": False}


def load_config(path: str, options: Iterable[Option]) -> dict[str, object]:
    """The values that a YAML mapping gives for the options of one command; keys of other commands are passed over, so that one file can serve all.

    Raises UsageError naming the file and the key for anything else.
    """
    own = {one.key: one for one in options if one.key != "config"}
    known = {*own, *(one.key for one in (*EVERY_OPTION, *STORE_COMMAND_OPTIONS, *HEADROOM_OPTIONS) if one.key != "config")}
    values = {}
    for key, value in read_mapping(path).items():
        if key not in known:
            msg = f"{path}: unknown key {key!r}{nearest(str(key), known)}"
            raise UsageError(msg)
        if option := own.get(str(key)):
            values[option.key] = parse_value(option, _typed(option, value), f"{path}, {key}")
    return values


def _typed(option: Option, value: object) -> object:
    return _FLAGS.get(value, value) if option.flag and isinstance(value, str) else value
