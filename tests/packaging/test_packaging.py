"""The distribution holds the packages, the example configurations and nothing else, and its commands work where only it is installed."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("configs", "pipelines", "transforms")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Built:
    source: Path
    sdist: Path
    wheel: Path

    def modules(self) -> set[str]:
        """What must be inside: every module of the packages and the example configurations."""
        modules = {path for package in PACKAGES for path in (self.source / package).rglob("*.py")}
        return {str(path.relative_to(self.source)) for path in modules | set((self.source / "configs").rglob("*.yaml"))}


def run(command: Sequence[str | Path], folder: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PIP_FIND_LINKS"}}
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("made")
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", made, source], made)
    return Built(source, *made.glob("*.tar.gz"), *made.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel; its dependencies come from the environment of this test."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(
        "\n".join(dependencies) + "\n"
    )  # a plain path: no .pth in there is followed, so this checkout stays invisible
    run([sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--no-deps", "--no-index", built.wheel], folder.parent)
    return folder / "bin"


def test_the_wheel_holds_every_module_and_example_and_nothing_else(built: Built) -> None:
    names = {name for name in zipfile.ZipFile(built.wheel).namelist() if ".dist-info/" not in name}
    assert names == built.modules()


def test_the_sdist_holds_every_module_and_example_and_nothing_else(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    about = {"PKG-INFO", "setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"}
    assert {name for name in names - about if "metric_rollups.egg-info/" not in name} == built.modules()


def test_the_wheel_says_what_it_needs_and_offers_one_command(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        about = {name.rsplit("/", 1)[1]: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert {"Requires-Python: >=3.11,<3.13", "Requires-Python: <3.13,>=3.11"} & set(about["METADATA"].splitlines())
    assert "Requires-Dist: apache-beam==2.77.*" in about["METADATA"]
    assert about["entry_points.txt"].split() == ["[console_scripts]", "rollups", "=", "pipelines.cli:run"]


@pytest.mark.parametrize("command", [["rollups", "--help"], ["python", "-m", "pipelines.backfill", "--help"]])
def test_commands_answer_from_any_folder(installed: Path, tmp_path: Path, command: list[str]) -> None:
    assert "usage" in run([installed / command[0], *command[1:]], tmp_path).lower()


def test_what_runs_is_what_was_installed(installed: Path, tmp_path: Path) -> None:
    places = run([installed / "python", "-c", "import configs, pipelines, transforms as t; print(configs.__file__, pipelines.__file__, t.__file__)"], tmp_path)
    assert all(Path(place).is_relative_to(installed.parent) for place in places.split())
