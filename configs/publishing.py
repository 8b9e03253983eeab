"""Where a run's figures are shown while it works: a file for a node's exporter, a Pushgateway."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from configs.option import Option
from transforms.core.errors import UsageError

SUFFIX: Final = ".prom"
"""The only one that node_exporter's textfile collector reads."""


def metrics_file(text: str) -> str:
    """Accepts the absolute path of a text file in a folder that is there."""
    path = Path(text)
    if path.suffix != SUFFIX:
        raise UsageError(f"{text!r} does not end in {SUFFIX}: collectors of text files pass it over")
    if not path.parent.is_dir():
        raise UsageError(f"{text!r} is to be in a folder that is not there: make {str(path.parent)!r} first")
    if path.is_dir():
        raise UsageError(f"{text!r} is a folder: name a file in it")
    return str(path.absolute())


def gateway_url(text: str) -> str:
    """Accepts the URL of a Pushgateway, perhaps with a user name and password, which no message shows."""
    parts = urlsplit(text)
    shown = text.rpartition("@")[2] if "@" in text else text
    try:
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment:
        raise UsageError(f"{shown!r} is no URL of a Pushgateway such as http://pushgateway.example.com:9091")
    return text


PUBLISH_OPTIONS: Final = (
    Option(
        name="metrics-file",
        metavar=f"FILE{SUFFIX}",
        parse=metrics_file,
        default="",
        help="the run's figures in Prometheus' text format, written anew every 10 s and at the end (for node_exporter's textfile collector)",
    ),
    Option(
        name="metrics-url",
        metavar="URL",
        parse=gateway_url,
        default="",
        help="a Prometheus Pushgateway, http[s]://[user:password@]host[:port], that gets the same figures; the run does not wait for it",
    ),
)

PUBLISH_KEYS: Final = frozenset(one.key for one in PUBLISH_OPTIONS)
"""Their names in YAML: of a run they become its job's `published`."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where a run's figures go; empty is nowhere."""

    metrics_file: str = ""
    metrics_url: str = ""
