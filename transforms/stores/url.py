"""Store URLs taken apart and checked, without showing secrets."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from transforms.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class StoreUrl:
    """`scheme://netloc/path?query`; the path is unquoted, `shown` is what messages may show."""

    scheme: str
    netloc: str
    path: str
    query: dict[str, str]
    shown: str

    def options(self, allowed: Iterable[str]) -> dict[str, str]:
        """What the query says. Raises UsageError if it says anything but the allowed names, or holds a user."""
        names = tuple(allowed)
        if unknown := sorted(self.query.keys() - set(names)):
            msg = f"the store URL {self.shown} has {', '.join(unknown)} after the ?: known are {', '.join(names)}"
            raise UsageError(msg)
        if "@" in self.query.get("endpoint_url", ""):
            msg = f"the endpoint_url in the store URL {self.shown} has a user: credentials come from the AWS configuration"
            raise UsageError(msg)
        return self.query


def split_url(url: str) -> StoreUrl:
    """The parts of a store URL. Raises UsageError for one without a scheme or with a user or password in it."""
    scheme, colon, rest = url.partition("://")
    parts = urlsplit("//" + rest)
    if "@" in parts.netloc:
        shown = f"{scheme}://…@{parts.netloc.rpartition('@')[2]}{parts.path}"
        msg = f"the store URL {shown} holds a user name or password; leave it out, secrets come from the environment or a file"
        raise UsageError(msg)
    shown = f"{scheme}://{parts.netloc}{parts.path}" if colon else repr(url)
    if parts.fragment:
        msg = f"the store URL {shown} goes on with #; write %23 if it belongs to the path"
        raise UsageError(msg)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) or (dict.fromkeys([parts.query], "") if parts.query else {})
    return StoreUrl(scheme=scheme if colon else "", netloc=parts.netloc, path=unquote(parts.path), query=query, shown=shown)
