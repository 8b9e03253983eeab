"""Defaults from a YAML file."""

from collections.abc import Iterable
from typing import Final

import yaml

from configs.headroom import HEADROOM_OPTIONS
from configs.option import Option, nearest, parse_value
from configs.options import EVERY_OPTION
from configs.store_command_options import STORE_COMMAND_OPTIONS
from transforms.core.errors import UsageError

_FLAGS: Final = {"true": True, "false": False}


class _Loader(yaml.BaseLoader):
    """Mappings, lists and texts: a value is what stands there (`0123` is no octal number, the key `yes` no boolean), and a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            msg = f"the key {twice[0]!r} stands there twice"
            raise yaml.YAMLError(msg)
        return super().construct_mapping(node, deep)


def load_config(path: str, options: Iterable[Option]) -> dict[str, object]:
    """The values that a YAML mapping gives for the options of one command; keys of other commands are passed over, so that one file can serve all.

    Raises UsageError naming the file and the key for anything else.
    """
    own = {one.key: one for one in options if one.key != "config"}
    known = {*own, *(one.key for one in (*EVERY_OPTION, *STORE_COMMAND_OPTIONS, *HEADROOM_OPTIONS) if one.key != "config")}
    values = {}
    for key, value in _read(path).items():
        if key not in known:
            msg = f"{path}: unknown key {key!r}{nearest(str(key), known)}"
            raise UsageError(msg)
        if option := own.get(str(key)):
            values[option.key] = parse_value(option, _typed(option, value), f"{path}, {key}")
    return values


def _typed(option: Option, value: object) -> object:
    return _FLAGS.get(value, value) if option.flag and isinstance(value, str) else value


def _read(path: str) -> dict[object, object]:
    try:
        with open(path, encoding="utf-8") as file:
            written = yaml.load(file, _Loader)  # noqa: S506, TID251 - a BaseLoader, which makes texts, lists and mappings only
    except OSError as error:
        msg = f"reading the configuration {path!r}: {error.strerror}"
        raise UsageError(msg) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"the configuration {path!r} is no YAML mapping of options: {' '.join(str(error).split())}"
        raise UsageError(msg) from None
    if written in (None, ""):
        return {}
    if not isinstance(written, dict):
        msg = f"the configuration {path!r} is a {type(written).__name__}: it must be a mapping of option names to values"
        raise UsageError(msg)
    return written
