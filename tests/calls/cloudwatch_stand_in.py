"""A stand-in for CloudWatch: it speaks its protocol (GetMetricData in AWS's JSON 1.0, as botocore does) and answers from a script.

No server that can be had here knows metrics of Lambda, DynamoDB or S3, so what a test wants to be read stands in `minutes`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.archive.s3_servers import http_server

TARGET = "GraniteServiceVersion20100801.GetMetricData"


@dataclass
class StandIn:
    """`minutes`: by namespace, metric, statistic and dimensions (`Name=value`, sorted), values by the beginning of their minute."""

    minutes: dict[tuple[str, ...], Mapping[int, float]] = field(default_factory=dict)
    denied: bool = False
    status: str = "Complete"
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests.append(request)
        if self.denied:
            text = "User is not authorized to perform: cloudwatch:GetMetricData"
            return 403, {"__type": "com.amazonaws.cloudwatch#AccessDeniedException", "message": text}
        assert request["ScanBy"] == "TimestampDescending"
        return 200, {"MetricDataResults": [self._result(one, request["StartTime"], request["EndTime"]) for one in request["MetricDataQueries"]]}

    def _result(self, query: dict[str, Any], start_s: float, end_s: float) -> dict[str, Any]:
        about = query["MetricStat"]
        assert about["Period"] == 60
        metric = about["Metric"]
        dimensions = sorted(f"{one['Name']}={one['Value']}" for one in metric["Dimensions"])
        values = self.minutes.get((metric["Namespace"], metric["MetricName"], about["Stat"], *dimensions), {})
        told = sorted((at_s for at_s in values if start_s <= at_s < end_s), reverse=True)
        return {"Id": query["Id"], "StatusCode": self.status, "Timestamps": told, "Values": [values[at_s] for at_s in told]}


@contextmanager
def cloudwatch() -> Iterator[StandIn]:
    """A running one."""
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["X-Amz-Target"] == TARGET
            status, data = state.answer(json.loads(body))
            answer = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as state.url:
        yield state
