"""What the code imports is declared, and the lock files agree with each other."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = {"configs", "pipelines", "transforms"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    tree = ast.parse((ROOT / "setup.py").read_text())
    (requirements,) = (word.value for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg == "install_requires")
    return {normal(re.split(r"[=<>~! ]", text)[0]) for text in ast.literal_eval(requirements)}


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module for node in nodes if isinstance(node, ast.ImportFrom) if node.module}
    return {name.split(".")[0] for name in whole | parts}


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][\w.-]*)==(\S+)", (ROOT / name).read_text(), flags=re.MULTILINE))


def test_every_import_of_the_packages_is_declared_in_setup_py() -> None:
    sources = [path for package in OWN for path in (ROOT / package).rglob("*.py")]
    names = {name for path in sources for name in imported(path)} - OWN - sys.stdlib_module_names
    of = packages_distributions()
    assert {name for name in names if not declared() & {normal(distribution) for distribution in of.get(name, [name])}} == set()


def test_every_declared_requirement_is_locked() -> None:
    assert declared() <= set(locked("requirements.lock"))


@pytest.mark.parametrize("other", ["requirements-dev.lock", "requirements-bench.lock", "requirements-gcp.lock"])
def test_the_other_locks_hold_the_runtime_one(other: str) -> None:
    assert locked("requirements.lock").items() <= locked(other).items()


def test_no_two_locks_disagree_on_a_version() -> None:
    development, benchmark = locked("requirements-dev.lock"), locked("requirements-bench.lock")
    assert {name for name in development.keys() & benchmark.keys() if development[name] != benchmark[name]} == set()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-bench.lock", "requirements-gcp.lock"])
def test_every_locked_package_has_hashes(lock: str) -> None:
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    assert all("--hash=sha256:" in requirement for requirement in re.split(r"\n(?=[a-z0-9])", text))
