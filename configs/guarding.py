"""How a run is told to look after those who use the same services: what is kept free for them, and who says how they are."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from configs.option import Option, one_of, whole_number
from transforms.calls.control import ON_FULL, PAUSE, Wishes
from transforms.core.errors import UsageError
from transforms.core.headroom import Reserve, parse_reserve

GUARDED: Final = ("lambda-concurrency", "dynamodb-wru-per-s", "dynamodb-rru-per-s")
"""Limits of which services tell what is in use."""


def program(text: str) -> str:
    """Accepts a program with its arguments, quoted as in a shell."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} can't be taken apart into words: {error}") from None
    if not words:
        raise UsageError(f"{text!r} names no program")
    return text


def health_url(text: str) -> str:
    """Accepts the URL of a health check."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{text!r} is no URL such as https://status.example.com/health")
    if "@" in parts.netloc:
        raise UsageError(f"the URL of {parts.hostname} holds a user name or password: leave it out; a --guard-command may use what it needs")
    return text


WATCHING_OPTIONS: Final = (
    Option(
        name="reserve",
        many=True,
        metavar="[LIMIT=]SHARE",
        help="what is kept free for others of each service's limit: a share (20%, 0.2) or a number (200); LIMIT= for one of "
        f"{', '.join(GUARDED)}; may be given several times; without it 20%",
    ),
    Option(
        name="s3-metrics-filter",
        metavar="ID",
        default="",
        help="id of the bucket's request metrics (such as EntireBucket), by which S3's 5xx errors are read; without it they are not",
    ),
)

GUARD_OPTIONS: Final = (
    *WATCHING_OPTIONS,
    Option(name="unguarded", flag=True, default=False, help="the live use of services is not read while the run works: its limits alone hold"),
    Option(
        name="guard-url",
        metavar="URL",
        parse=health_url,
        default="",
        help="your own health check: asked every 15 s, and any answer but 2xx within 5 s pauses the run until it is green again",
    ),
    Option(
        name="guard-command",
        metavar="COMMAND",
        parse=program,
        default="",
        help="as --guard-url, a program with its arguments (no shell): it is green when it ends with 0 within 30 s",
    ),
    Option(
        name="on-account-throttle",
        metavar="|".join(ON_FULL),
        parse=one_of("thing to do", ON_FULL),
        default="",
        help="when Lambda or DynamoDB says that the whole account is at its limit, the run calls next to nothing, and pauses for --account-hold-s, "
        f"only slows down, or stops in good order (exit 3, resumable); without it {PAUSE}, or what the run was told before",
    ),
    Option(
        name="account-hold-s",
        metavar="SECONDS",
        parse=whole_number(1),
        default=0,
        help=f"how long such a pause is, unless `rollups resume` ends it; without it {Wishes().hold_s}",
    ),
)


GUARD_KEYS: Final = frozenset(one.key for one in GUARD_OPTIONS)
"""Their names in YAML: of a run they become its job's `guarded`."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What is kept free for others, and by which of a bucket's request metrics its errors are read."""

    reserve: tuple[str, ...] = ()
    s3_metrics_filter: str = ""

    def __post_init__(self) -> None:
        """Check what is to be kept free."""
        _ = self.kept_free

    @cached_property
    def kept_free(self) -> Reserve:
        """The reserve by limit."""
        return parse_reserve(self.reserve, GUARDED)


@dataclass(frozen=True, kw_only=True)
class Guarded(Watching):
    """How a run is guarded: by live use, unless it shall not be, by the team's own health checks, and by what it does when the account is full.

    Of the latter an empty text and 0 leave it as it is.
    """

    unguarded: bool = False
    guard_url: str = ""
    guard_command: str = ""
    on_account_throttle: str = ""
    account_hold_s: int = 0
