"""Options about limits: the fields of `Rates`, for every command that calls a service."""

from typing import Final

from configs.option import Option, whole_number
from transforms.core.limits import LIMITS, Limit, Rates

_DEFAULT: Final = Rates()


def limiter(text: str) -> str:
    """Accepts the URL of a shared limiter."""
    from transforms.calls.limiter import limiter_server  # noqa: PLC0415 - who names none does not wait for its client

    limiter_server(text)
    return text


def _option(limit: Limit) -> Option:
    default = getattr(_DEFAULT, limit.key)
    told = f"{default}, a quarter of the service's {limit.documented}" if limit.documented else f"{default}, which is no limit" if not default else str(default)
    rate = limit.counts if limit.name == "lambda-concurrency" else f"{limit.counts} a second"
    return Option(
        name=limit.name,
        metavar="N",
        parse=whole_number(1 if default else 0),
        help=f"at most so many {rate}, of all runs together that share the work dir; without it {told}",
    )


LIMIT_OPTIONS: Final[tuple[Option, ...]] = (
    *map(_option, LIMITS),
    Option(
        name="ramp-double-s",
        metavar="SECONDS",
        parse=whole_number(1),
        help=f"a rate begins with a sixteenth of its limit and doubles every so many seconds ; without it {_DEFAULT.ramp_double_s}",
    ),
    Option(
        name="limiter",
        metavar="URL",
        parse=limiter,
        help="a Valkey or Redis server, valkey://HOST:PORT/DB, where runs of several work dirs and machines keep these limits together; without it none",
    ),
)

LIMIT_KEYS: Final = frozenset(one.key for one in LIMIT_OPTIONS)
"""Their names in YAML: what of them is given becomes a job's `rates`."""
