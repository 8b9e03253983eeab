"""A stand-in for CloudWatch: it speaks its protocol (GetMetricData in Smithy RPC v2 CBOR, as botocore does) and answers from a script.

No server that can be had here knows metrics of Lambda, DynamoDB or S3, so what a test wants to be read stands in `minutes`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import botocore.session
from botocore.parsers import RpcV2CBORParser
from botocore.serialize import CBORSerializer

from tests.archive.s3_servers import http_server

PATH = "/service/GraniteServiceVersion20100801/operation/GetMetricData"
MODEL = botocore.session.get_session().get_service_model("cloudwatch")


@dataclass
class StandIn:
    """`minutes`: by namespace, metric, statistic and dimensions (`Name=value`, sorted), values by the beginning of their minute."""

    minutes: dict[tuple[str, ...], Mapping[int, float]] = field(default_factory=dict)
    denied: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: dict[str, Any]) -> tuple[int, bytes]:
        self.requests.append(request)
        if self.denied:
            text = "User is not authorized to perform: cloudwatch:GetMetricData"
            return 403, cbor({"__type": "com.amazonaws.cloudwatch#AccessDeniedException", "message": text}, None)
        assert request["ScanBy"] == "TimestampDescending"
        results = [self._result(one, request["StartTime"], request["EndTime"]) for one in request["MetricDataQueries"]]
        return 200, cbor({"MetricDataResults": results}, MODEL.operation_model("GetMetricData").output_shape)

    def _result(self, query: dict[str, Any], start: datetime, end: datetime) -> dict[str, Any]:
        about = query["MetricStat"]
        assert about["Period"] == 60
        metric = about["Metric"]
        dimensions = sorted(f"{one['Name']}={one['Value']}" for one in metric["Dimensions"])
        values = self.minutes.get((metric["Namespace"], metric["MetricName"], about["Stat"], *dimensions), {})
        told = sorted((at_s for at_s in values if start.timestamp() <= at_s < end.timestamp()), reverse=True)
        return {
            "Id": query["Id"],
            "StatusCode": "Complete",
            "Timestamps": [datetime.fromtimestamp(at_s, UTC) for at_s in told],
            "Values": [float(values[at_s]) for at_s in told],
        }


def cbor(value: dict[str, str] | dict[str, Any], shape: Any) -> bytes:
    """As the service writes it; a map of texts where there is no shape."""
    written = bytearray()
    serializer = CBORSerializer()
    if shape is None:
        written += bytes([0xA0 + len(value)])
        for text in (one for pair in value.items() for one in pair):
            serializer._serialize_type_string(written, text, None, None)
    else:
        serializer._serialize_data_item(written, value, shape)
    return bytes(written)


@contextmanager
def cloudwatch() -> Iterator[StandIn]:
    """A running one."""
    state = StandIn()
    parser = RpcV2CBORParser()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert (self.path, self.headers["smithy-protocol"]) == (PATH, "rpc-v2-cbor")
            status, answer = state.answer(parser.parse_data_item(parser.get_peekable_stream_from_bytes(body)))
            self.send_response(status)
            for name, value in {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor", "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Handler) as state.url:
        yield state
