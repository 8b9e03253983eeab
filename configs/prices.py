"""Prices: those beside this module, and a file of the user's that replaces some of them."""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from configs.option import nearest
from configs.yaml_file import read_mapping
from transforms.core.errors import UsageError
from transforms.core.usage import Prices

PRICES_FILE: Final = Path(__file__).parent / "prices.yaml"

_NAMES: Final = tuple(one.name for one in fields(Prices))


def load_prices(path: str = "") -> Prices:
    """The project's prices, with those of a YAML file instead where it has them. Raises UsageError that names file and key."""
    usual = Prices(**_values(str(PRICES_FILE)))
    return replace(usual, **{"as_of": path, **_values(path)}) if path else usual


def _values(path: str) -> dict[str, Any]:
    return {_known(str(key), path): _price(str(key), value, path) for key, value in read_mapping(path).items()}


def _known(key: str, path: str) -> str:
    if key not in _NAMES:
        msg = f"{path}: there is no price {key!r}{nearest(key, _NAMES)}"
        raise UsageError(msg)
    return key


def _price(key: str, written: object, path: str) -> str | float:
    if key == "as_of":
        return str(written)
    try:
        price = float(str(written))
    except ValueError:
        price = -1.0
    if not 0 <= price < math.inf:
        msg = f"{path}, {key}: {written!r} is no price in dollars"
        raise UsageError(msg)
    return price
