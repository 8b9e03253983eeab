"""The mapping from the fields of flat rows to what a point has: the configuration's `flat`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from transforms.core.errors import UsageError

UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Units of times, and how many of each are a second."""

CONSTANT: Final = "="
"""What begins with it is no field's name but the value itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatMapping:
    """Names of the fields that hold a row's parts, with dots between the names of fields within fields; `=text` stands for this text in every row.

    `time_unit` is that of numbers; a table's timestamps have their own. `labels` is a field that holds an object, or a tuple of fields that are labels by
    their own names. Empty: no labels, the entity "", the type `labeled`, the org of records that name none.
    """

    time: str
    value: str
    name: str
    time_unit: str = "s"
    labels: str | tuple[str, ...] = ()
    entity: str = ""
    type: str = ""
    org: str = ""

    @property
    def label_fields(self) -> tuple[str, ...]:
        """The fields that are labels, if they are named one by one."""
        return () if isinstance(self.labels, str) else self.labels

    @property
    def field_names(self) -> tuple[str, ...]:
        """All fields that are named, each once."""
        names = (self.time, self.value, self.name, self.entity, self.type, self.org, *((self.labels,) if isinstance(self.labels, str) else self.labels))
        return tuple(dict.fromkeys(name for name in names if name and not name.startswith(CONSTANT)))


_KEYS: Final = tuple(one.name for one in fields(FlatMapping))


def flat_mapping(written: Mapping[object, object]) -> FlatMapping:
    """The mapping that a configuration writes. Raises UsageError for a key that is unknown, missing or not a text."""
    values: dict[str, str | tuple[str, ...]] = {}
    for key, value in written.items():
        if key not in _KEYS:
            raise UsageError(f"{key!r} is no part of a flat row: choose of {', '.join(_KEYS)}")
        is_list = key == "labels" and isinstance(value, (list, tuple)) and all(isinstance(one, str) and one for one in value)
        if not is_list and not (isinstance(value, str) and value):
            raise UsageError(f"{key}: {value!r} is not the name of a field{' or a list of names' if key == 'labels' else ''}")
        values[str(key)] = value if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]
    for key in ("time", "value", "name"):
        if key not in values:
            raise UsageError(f"{key} is missing: a flat row has at least time, value and name, each a field's name or, behind {CONSTANT!r}, the text itself")
    if values.get("time_unit", "s") not in UNITS:
        raise UsageError(f"time_unit: {values['time_unit']!r} is no unit of time: choose {', '.join(UNITS)}")
    twice = sorted({one for one in values.get("labels", ()) if list(values["labels"]).count(one) > 1}) if isinstance(values.get("labels"), tuple) else []
    if twice:
        raise UsageError(f"labels: {twice[0]!r} is there twice")
    return FlatMapping(**values)  # type: ignore[arg-type]


def settings(mapping: FlatMapping) -> dict[str, str | list[str]]:
    """The mapping as a configuration writes it, without what is the default."""
    values = {key: getattr(mapping, key) for key in _KEYS}
    return {key: value if isinstance(value, str) else list(value) for key, value in values.items() if value and (key, value) != ("time_unit", "s")}


def written(mapping: FlatMapping) -> str:
    """The mapping as `flat_text` reads it. Empty if no text is this mapping, for a name holds `,` or `=`, or that of a label `+`."""
    texts = {key: value if isinstance(value, str) else "+".join(value) + "+" * (len(value) == 1) for key, value in settings(mapping).items()}
    text = ",".join(f"{key}={value}" for key, value in texts.items())
    try:
        return text if flat_text(text) == mapping else ""
    except UsageError:
        return ""


def flat_text(text: str) -> FlatMapping:
    """The mapping of `time=ts,value=v,name==temperature,labels=site+room`, as a command line writes it. Raises UsageError as `flat_mapping` does.

    `labels=site` is the field that holds all labels, `labels=site+` one label.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    keys = [key for key, _, _ in pairs]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise UsageError(f"{twice[0]!r} is there twice in {text!r}")
    return flat_mapping({key: value.removesuffix("+").split("+") if key == "labels" and "+" in value else value for key, _, value in pairs})
