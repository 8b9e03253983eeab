"""A job for Dataflow, translated without network or credentials: its name, what is staged for workers, its steps. That the service takes it is not shown."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = """\
job rollups-20251109t124300-3f9a, labels {'rollups_run': '20251109t124300-3f9a', 'team': 'sre'}
staged submission_environment_dependencies.txt, workflow.tar.gz
Name groups: 1 group_by_key, 1 impulse, 7 pardo
Stage groups: 1 pardo
Name service units: 1 group_by_key, 1 impulse, 7 pardo
Group by service unit: 1 flatten, 1 group_by_key, 4 pardo
Roll up service units: 1 pardo
Name host units: 1 group_by_key, 1 impulse, 7 pardo
Group by host unit: 1 flatten, 2 group_by_key, 6 pardo
Roll up host units: 1 pardo
"""


@pytest.mark.slow
def test_the_job_and_what_travels_with_it() -> None:
    """Machine type, bounds of workers and the like are Beam's options, passed on."""
    more = "--labels=team=sre --machine_type=n2-standard-4 --max_num_workers=8"
    command = f'source scripts/setup_env gcp && exec "$environment/bin/python" scripts/dataflow_job.py {more}'
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert ended.stdout == GOLDEN
