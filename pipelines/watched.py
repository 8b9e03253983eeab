"""Which services of an archive and a store others use too, with limits that are theirs as much as ours.

Readers are imported when there is something for them to read: a run between local places does not wait for boto3.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from transforms.core.errors import UsageError
from transforms.core.headroom import Watched
from transforms.stores.url import StoreUrl, split_url


@dataclass(frozen=True)
class Services:
    """What is read, and what is not, with the reason."""

    watched: list[Watched] = field(default_factory=list)
    unwatched: list[str] = field(default_factory=list)


def services_of(archive: str, store: str, metrics_filter: str) -> Services:
    """The services behind two URLs, either perhaps empty; Lambda's account if both are. Raises UsageError for a URL of another form."""
    services = Services()
    if archive.startswith("s3://"):
        _add_archive(services, archive, metrics_filter)
    if store:
        _add_store(services, store, metrics_filter)
    if not archive and not store:
        _add_function(services, "", "", "")
    return services


def is_aws(endpoint_url: str) -> bool:
    """Whether calls go to AWS: to its usual places, or to an endpoint of a VPC."""
    host = urlsplit(endpoint_url).hostname or ""
    return not endpoint_url or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _add_archive(services: Services, url: str, metrics_filter: str) -> None:
    from transforms.archive.s3_location import s3_location

    location = s3_location(urlsplit(url))
    _add_bucket(services, location.bucket, location.region, location.endpoint_url, metrics_filter, ("s3-get-per-s", "s3-list-per-s"))


def _add_bucket(services: Services, bucket: str, region: str, endpoint_url: str, metrics_filter: str, names: tuple[str, ...]) -> None:
    if not metrics_filter:
        services.unwatched.append(f"S3, {bucket}: --s3-metrics-filter does not say by which request metrics")
    elif _is_watched(services, f"S3, {bucket}", endpoint_url):
        from transforms.calls.live_use import BucketUse

        services.watched.append(BucketUse(bucket, metrics_filter, names, region))


def _add_store(services: Services, store: str, metrics_filter: str) -> None:
    url = split_url(store)
    if url.scheme == "parquet+s3":
        options = url.options(("endpoint_url", "region"))
        names = ("s3-get-per-s", "s3-list-per-s", "s3-put-per-s")
        _add_bucket(services, url.netloc, options.get("region", ""), options.get("endpoint_url", ""), metrics_filter, names)
        return
    if url.scheme in ("dynamodb", "lambda"):
        _add_table(services, url)


def _add_table(services: Services, url: StoreUrl) -> None:
    """A table and, where there is one, the function that writes it."""
    from transforms.calls.live_use import TableUse
    from transforms.stores.dynamodb_place import place_of
    from transforms.stores.lambda_place import places_of

    function, place = (None, place_of(url)) if url.scheme == "dynamodb" else places_of(url)
    if function and _is_watched(services, function.name, function.endpoint_url):
        _add_function(services, function.function, function.region, function.endpoint_url)
    if _is_watched(services, place.name, place.endpoint_url):
        services.watched.append(TableUse(place.table, place.region, place.endpoint_url))


def _add_function(services: Services, function: str, region: str, endpoint_url: str) -> None:
    from transforms.calls.live_use import LambdaUse

    services.watched.append(LambdaUse(function, region, endpoint_url))


def _is_watched(services: Services, what: str, endpoint_url: str) -> bool:
    if not is_aws(endpoint_url):
        services.unwatched.append(f"{what}: its endpoint_url is not AWS's, and other servers' limits are not known")
    return is_aws(endpoint_url)


def check_any(services: Services, archive: str, store: str) -> None:
    """Raises UsageError if there is nothing to look at."""
    if not services.watched and not services.unwatched:
        told = " and ".join(f"--{name} {url}" for name, url in (("archive", archive), ("store", store)) if url)
        raise UsageError(f"nothing that {told} uses has a limit that others use too: name an s3:// archive, or a dynamodb://, lambda:// or parquet+s3:// store")
