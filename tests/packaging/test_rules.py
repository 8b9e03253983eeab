"""The rules of the shape of the code bite: for each, a breach that the tools of scripts/check must find."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = Path(sysconfig.get_path("scripts"))


def findings(path: str, code: str) -> str:
    """What ruff says about a file of that path with that code."""
    command = [COMMANDS / "ruff", "check", "--no-cache", "--output-format", "concise", "--stdin-filename", path, "-"]
    return subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import argparse\n", "TID251"),
        ("import os\n\nos.environ['HOME']\n", "TID251"),
        ("import os\n\nos.getenv('HOME')\n", "TID251"),
        ("import sys\n\nsys.exit(1)\n", "TID251"),
        ("import sys\n\nsys.stdout.write('x')\n", "TID251"),
        ("import pickle\n", "TID251"),
        ("import yaml\n\nyaml.load('x', yaml.Loader)\n", "TID251"),
        ("print('x')\n", "T201"),
        ("eval('1')\n", "S307"),
        ("try:\n    x = 1\nexcept Exception:\n    x = 2\n", "BLE001"),
        ("from . import model\n", "TID252"),
    ],
)
def test_lint_finds_what_only_the_edge_may_do(code: str, rule: str) -> None:
    assert rule in findings("transforms/core/broken.py", code)


@pytest.mark.parametrize("code", ["import argparse\n", "import os\n\nHOME = os.environ['HOME']\n", "print('x')\n"])
def test_the_command_line_may(code: str) -> None:
    assert not {"T201", "TID251"} & set(findings("pipelines/cli.py", code).split())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty copy of the packages under the rules of this project."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("configs", "pipelines", "transforms", *(f"transforms/{layer}" for layer in ("archive", "calls", "core", "decode", "steps", "stores"))):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def broken_contracts(tree: Path) -> int:
    ended = subprocess.run([COMMANDS / "lint-imports", "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)
    assert "kept" in ended.stdout, ended.stdout + ended.stderr
    return ended.returncode


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("pipelines/runtime.py", "import boto3, configs, transforms.steps"),
        ("transforms/stores/dynamodb.py", "import boto3, transforms.calls, transforms.core"),
        ("transforms/steps/upsert.py", "import apache_beam, transforms.stores"),
    ],
)
def test_layers_allow_what_points_downwards(tree: Path, module: str, code: str) -> None:
    (tree / module).write_text(code + "\n")
    assert broken_contracts(tree) == 0


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("configs/job.py", "import pipelines"),
        ("transforms/steps/upsert.py", "import configs"),
        ("transforms/core/merge.py", "import transforms.stores"),
        ("transforms/calls/aws.py", "import transforms.stores"),
        ("transforms/stores/parquet.py", "import transforms.archive"),
        ("transforms/stores/parquet.py", "import transforms.steps"),
        ("transforms/stores/parquet.py", "import apache_beam"),
        ("transforms/core/rollup.py", "import apache_beam"),
        ("transforms/core/rollup.py", "import boto3"),
        ("transforms/steps/upsert.py", "import botocore"),
        ("pipelines/backfill.py", "import boto3"),
        ("transforms/common/__init__.py", ""),
    ],
)
def test_layers_refuse_the_rest(tree: Path, module: str, code: str) -> None:
    (tree / module).parent.mkdir(exist_ok=True)
    (tree / module).write_text(code + "\n")
    assert broken_contracts(tree) == 1
