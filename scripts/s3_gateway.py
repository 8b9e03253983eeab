"""versitygw, an S3 server that checks signatures, on this machine: built once with Go, started on a folder, and who may talk to it."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.go_tools import VERSITYGW, ToolUnavailable, built

KEY: Final = "rollups-test"
SECRET: Final = "not-a-secret-of-anyone"  # noqa: S105 - of a server that lives as long as its test
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a process needs to be let in, and to see no configuration of the machine's."""


def client_environment() -> dict[str, str]:
    """The environment of the process that asks, without what it says about AWS, and with the gateway's credentials."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | ENVIRONMENT


@contextmanager
def gateway(folder: Path) -> Iterator[str]:
    """A running server's URL; buckets are folders in the one given, which is made."""
    binary, port = built(VERSITYGW), free_port()
    folder.mkdir(parents=True)
    command: list[str | Path] = [binary, "--quiet", "--access", KEY, "--secret", SECRET, "--port", f"127.0.0.1:{port}", "posix", folder]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    """A port of the loopback interface on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, patience_s: float = 20) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ToolUnavailable(f"nothing listens on port {port} after {patience_s:g} s") from error
            time.sleep(0.02)
        else:
            return
