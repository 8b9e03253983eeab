"""YAML files of texts, lists and mappings."""

import yaml

from transforms.core.errors import UsageError


class _Loader(yaml.BaseLoader):
    """Mappings, lists and texts: a value is what stands there (`0123` is no octal number, the key `yes` no boolean), and a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            msg = f"the key {twice[0]!r} stands there twice"
            raise yaml.YAMLError(msg)
        return super().construct_mapping(node, deep)


def read_mapping(path: str) -> dict[object, object]:
    """What a YAML file holds, every value as the text that stands there. Raises UsageError that names the file if it is no mapping."""
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
