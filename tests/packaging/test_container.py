"""The image's description agrees with what the project is made of. It is not built here: no container engine runs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "scripts" / "container" / "Dockerfile").read_text().splitlines()


def words(instruction: str) -> list[list[str]]:
    return [line.split()[1:] for line in LINES if line.startswith(f"{instruction} ")]


def test_beam_s_image_is_of_the_locked_version_and_python() -> None:
    (locked,) = re.findall(r"^apache-beam==(\S+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    images = [one[0] for one in words("FROM")]
    assert images == ["python:3.11-slim-bookworm", f"apache/beam_python3.11_sdk:{locked}", "python:3.11-slim-bookworm", "command"]
    assert 'python_requires=">=3.11' in (ROOT / "setup.py").read_text()


def test_what_is_copied_is_there_and_all_packages_are() -> None:
    copied = [source for *sources, _ in words("COPY") for source in sources if not source.startswith(("--from", "/"))]
    assert all((ROOT / one).exists() for one in copied)
    assert {"pipelines", "transforms", "configs", "requirements.lock", "setup.py"} <= {*copied}


def test_they_run_as_nobody_special_and_start_the_command_and_beam_s_worker() -> None:
    assert words("USER") == [["rollups"]]
    assert words("ENTRYPOINT") == [['["rollups"]'], ['["/opt/apache/beam/boot"]']]


def test_it_says_that_they_were_not_built() -> None:
    assert "They were never built" in LINES[0]
