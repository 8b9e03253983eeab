"""Which services of an archive and a store others use too, with limits that are theirs as much as ours.

Readers are imported when there is something for them to read: a run between local places does not wait for boto3.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from transforms.calls.limits import s3_place
from transforms.calls.s3_folder import S3Location
from transforms.core.errors import UsageError
from transforms.core.headroom import Watched
from transforms.stores.url import StoreUrl, split_url


@dataclass(frozen=True)
class Services:
    """What is read, and what is not, with the reason."""

    watched: list[Watched] = field(default_factory=list)
    unwatched: list[str] = field(default_factory=list)


def services_of(urls: Iterable[str], metrics_filter: str) -> Services:
    """The services behind URLs of archives and stores, each once; none behind local ones. Raises UsageError for a URL of another form."""
    services = Services()
    for url in dict.fromkeys(urls):
        if url.startswith(("s3://", "file://")):
            _add_archive(services, url, metrics_filter)
        elif url:
            _add_store(services, url, metrics_filter)
    return services


def account_of_lambda() -> Services:
    """Of the region that the AWS configuration names."""
    services = Services()
    _add_function(services, "", "", "", "")
    return services


def is_aws(endpoint_url: str) -> bool:
    """Whether calls go to AWS: to its usual places, or to an endpoint of a VPC."""
    host = urlsplit(endpoint_url).hostname or ""
    return not endpoint_url or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _add_archive(services: Services, url: str, metrics_filter: str) -> None:
    if url.startswith("s3://"):
        from transforms.archive.s3_location import s3_location

        _add_bucket(services, s3_location(urlsplit(url)), metrics_filter, ("s3-get-per-s", "s3-list-per-s"))


def _add_bucket(services: Services, location: S3Location, metrics_filter: str, names: tuple[str, ...]) -> None:
    if not metrics_filter:
        services.unwatched.append(f"S3, {location.bucket}: --s3-metrics-filter does not say by which request metrics")
    elif _is_watched(services, f"S3, {location.bucket}", location.endpoint_url):
        from transforms.calls.live_use import BucketUse

        services.watched.append(BucketUse(location.bucket, metrics_filter, names, location.region, s3_place(location)))


def _add_store(services: Services, store: str, metrics_filter: str) -> None:
    url = split_url(store)
    if url.scheme == "parquet+s3":
        location = S3Location(bucket=url.netloc, **url.options(("endpoint_url", "region")))
        _add_bucket(services, location, metrics_filter, ("s3-get-per-s", "s3-list-per-s", "s3-put-per-s"))
    elif url.scheme in ("dynamodb", "lambda"):
        _add_table(services, url)


def _add_table(services: Services, url: StoreUrl) -> None:
    """A table and, where there is one, the function that writes it."""
    from transforms.calls.live_use import TableUse
    from transforms.stores.dynamodb_place import place_of
    from transforms.stores.lambda_place import places_of

    function, place = (None, place_of(url)) if url.scheme == "dynamodb" else places_of(url)
    if function and _is_watched(services, function.name, function.endpoint_url):
        _add_function(services, function.function, function.region, function.endpoint_url, function.limits_place)
    if _is_watched(services, place.name, place.endpoint_url):
        services.watched.append(TableUse(place.table, place.region, place.endpoint_url, place.name))


def _add_function(services: Services, function: str, region: str, endpoint_url: str, place: str) -> None:
    from transforms.calls.live_use import LambdaUse

    services.watched.append(LambdaUse(function, region, endpoint_url, place))


def _is_watched(services: Services, what: str, endpoint_url: str) -> bool:
    if not is_aws(endpoint_url):
        services.unwatched.append(f"{what}: its endpoint_url is not AWS's, and other servers' limits are not known")
    return is_aws(endpoint_url)


def check_any(services: Services, archive: str, store: str) -> None:
    """Raises UsageError if there is nothing to look at."""
    if not services.watched and not services.unwatched:
        told = " and ".join(f"--{name} {url}" for name, url in (("archive", archive), ("store", store)) if url)
        raise UsageError(f"nothing that {told} uses has a limit that others use too: name an s3:// archive, or a dynamodb://, lambda:// or parquet+s3:// store")
