"""Translates a job for Dataflow without network or credentials, and prints its step graph: each step of ours with the portable steps that it is made of.

    source scripts/setup_env gcp; "$environment/bin/python" scripts/dataflow_job.py [BEAM OPTIONS…]

This shows that the job translates and that its source distribution is packed and staged, not that the service takes it.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines.backfill import build
from pipelines.runners import pipeline_options
from transforms.core.plan import Estimate, Plan, Request
from transforms.steps.pool import Crew

RUN_ID: Final = "20251109T124300-3f9a"
OPTIONS: Final = (
    "--project=none",
    "--region=us-central1",
    "--dry_run=True",
    "--no_auth",
    "--temp_location=gs://none/temp",
    "--staging_location=gs://none/staging",
)


def plan() -> Plan:
    """Of two types and ten groups."""
    request = Request(
        archive="s3://archive/metrics",
        store="dynamodb://rollups",
        periods=("2025-11-01T00:00Z/P1D",),
        metric_types=("service", "host"),
        granularities=("1m", "5m", "1h"),
    )
    return Plan(
        run_id=RUN_ID,
        created_s=1_762_000_000,
        request=request,
        periods=((1_761_955_200, 1_762_041_600),),
        generation=1,
        manifest_digest="",
        object_bytes=0,
        listed_objects=0,
        untimed_objects=0,
        object_times=(),
        groups=tuple((number, 1) for number in range(10)),
        shards={"service": {"2025-11-01": 2}, "host": {"2025-11-01": 8}},
        estimate=Estimate(sampled_objects=0, points=0, series=0, staging_bytes=0, free_bytes=0, duration_s=0.0, points_per_s=0.0),
    )


def translated(options: PipelineOptions) -> Any:  # noqa: ANN401 - Beam's class for it needs Google's packages
    """The job as it would be sent."""
    pipeline = beam.Pipeline(options=options)
    build(pipeline, plan(), "/mnt/rollups/runs/" + RUN_ID, batch=1, crew=Crew(2))
    result: Any = pipeline.run()
    return result.job


def graph(transforms: Mapping[str, Any], roots: Iterable[str]) -> Iterator[str]:
    """Steps of ours, each with the portable steps below it."""
    for key in roots:
        one = transforms[key]
        name = one.unique_name.rsplit("/", 1)[-1]
        primitives = ", ".join(f"{number} {urn}" for urn, number in sorted(Counter(_primitives(transforms, key)).items()))
        yield f"{name}: {primitives}"


def _primitives(transforms: Mapping[str, Any], key: str) -> Iterator[str]:
    one = transforms[key]
    if not one.subtransforms and not {*one.outputs.values()} <= {*one.inputs.values()}:
        yield one.spec.urn.removeprefix("beam:transform:").removesuffix(":v1")
    for below in one.subtransforms:
        yield from _primitives(transforms, below)


def _staged(role: bytes) -> str:
    return str(beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(role).staged_name)


def main(beam_options: list[str]) -> None:
    job = translated(pipeline_options("DataflowRunner", [*OPTIONS, *beam_options], RUN_ID))
    components = job.proto_pipeline.components
    (root,) = job.proto_pipeline.root_transform_ids
    staged = [_staged(dependency.role_payload) for each in components.environments.values() for dependency in each.dependencies]
    print(f"job {job.proto.name}, labels {dict(sorted(job.proto.labels.items()))}")
    print(f"staged {', '.join(sorted(staged))}")
    print("\n".join(graph(components.transforms, components.transforms[root].subtransforms)))


if __name__ == "__main__":
    main(sys.argv[1:])
