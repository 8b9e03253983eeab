"""The benchmark of stores measures what it says: every pass of every store, by processes of its own."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_pass_of_every_store_is_measured(tmp_path: Path) -> None:
    asked = ["--units", "2", "--series", "2", "--granularities", "1h", "--processes", "2", "--folder", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "scripts.benchmark_stores", *asked], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("96 rollups (1h) of 2 units\n")
    measured = re.findall(r"\| (\w+) \| 2 \| ([\w ]+) \| [\d.]+ \| [\d.]+ \|", done.stdout)
    assert measured == [(store, one) for store in ("parquet", "sqlite") for one in ("fresh", "again", "newer run", "other values")]
    assert list(tmp_path.iterdir()) == []
