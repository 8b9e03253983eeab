"""Records of CloudWatch metric streams in JSON."""

from typing import Any, Final

RECORD: Final[dict[str, Any]] = {
    "metric_stream_name": "all",
    "account_id": "123456789012",
    "region": "eu-west-1",
    "namespace": "AWS/EC2",
    "metric_name": "CPUUtilization",
    "dimensions": {"InstanceId": "i-1"},
    "timestamp": 1762000020123,
    "value": {"count": 4.0, "sum": 20.0, "max": 9.5, "min": 0.5, "p99": 9.4},
    "unit": "Percent",
}
"""As the vendor's documentation shows it: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-formats-json.html."""
