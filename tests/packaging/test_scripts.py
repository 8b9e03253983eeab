"""The scripts make their environment once, say what is wrong with a machine, and recover from a set-up that was killed."""

import hashlib
import os
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("scripts", ".ci") for path in (ROOT / folder).iterdir() if path.is_file()]
SHELL_SCRIPTS = sorted(path for path in FILES if path.read_bytes().startswith(b"#!/usr/bin/env bash"))

FAKE_PYTHON = """#!/bin/bash
# Stands for Python 3.11: instead of making an environment it leaves one that tells what it was asked.
if [[ $1 == -c ]]; then echo 3.11; exit; fi
echo "$3" >>"$CALLS"
for folder in "$4"/packages-run "$4/packages-$3" "$5"; do
    mkdir -p "$folder/bin"
    touch "$folder/ready"
    printf '#!/bin/bash\\necho "python $*"\\n' >"$folder/bin/python"
    printf '#!/bin/bash\\necho "rollups $*"\\n' >"$folder/bin/rollups"
    chmod +x "$folder"/bin/*
done
"""

TOY_BACKEND = """
import shutil
from pathlib import Path

def build_editable(folder, settings=None, metadata=None):
    return Path(shutil.copy(Path("../toy-1.0-py3-none-any.whl").resolve(), folder)).name
"""


def write_wheel(folder: Path, name: str, **files: str) -> Path:
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    about = {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    with zipfile.ZipFile(wheel, "w") as file:
        for path, text in {**about, "RECORD": "", "entry_points.txt": files.get("commands", "")}.items():
            file.writestr(f"{name}-1.0.dist-info/{path}", text)
        file.writestr(f"{name}.py", files.get("module", ""))
    return wheel


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a toy command and nothing to download."""
    folder = tmp_path / "a checkout"
    (folder / "scripts").mkdir(parents=True)
    for name in ("scripts/run", "scripts/setup_env", "scripts/make_environment.py"):
        shutil.copy2(ROOT / name, folder / name)
    for name in ("setup.py", "requirements.lock", "requirements-dev.lock", "requirements-bench.lock", "requirements-gcp.lock"):
        (folder / name).write_text("# nothing\n")
    (folder / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n')
    (folder / "backend.py").write_text(TOY_BACKEND)
    module = "import sys\n\ndef main():\n    print('rollups', *sys.argv[1:])\n"
    write_wheel(tmp_path, "toy", module=module, commands="[console_scripts]\nrollups = toy:main\n")
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of this machine's is changed."""
    left_out = {"PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in left_out} | {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def fake(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment with a Python that only pretends, and a pip that must not be called."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, text in (("python3.11", FAKE_PYTHON), ("pip", '#!/bin/bash\necho pip >>"$CALLS"\n')):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    return environ | {"PATH": f"{commands}:{environ['PATH']}", "CALLS": str(tmp_path / "calls")}


def call(checkout: Path, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([checkout / "scripts/run", *arguments], env=environ, capture_output=True, text=True, check=False)


def calls(fake: dict[str, str]) -> list[str]:
    return Path(fake["CALLS"]).read_text().split()


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_sound(script: Path) -> None:
    checks = [["bash", "-n"], *([[found, "--external-sources", "--source-path", str(ROOT)]] if (found := shutil.which("shellcheck")) else [])]
    for check in checks:
        ended = subprocess.run([*check, script], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_once_set_up_neither_python_nor_pip_is_called(checkout: Path, fake: dict[str, str]) -> None:
    assert call(checkout, fake, "first").stdout == "rollups first\n"
    assert call(checkout, fake, "backfill", "--series", "host/*/a b").stdout == "rollups backfill --series host/*/a b\n"
    assert calls(fake) == ["run"]


def test_demo_runs_the_demo_in_the_environment(checkout: Path, fake: dict[str, str]) -> None:
    assert call(checkout, fake, "demo", "--json").stdout == f"python {checkout}/scripts/demo.py --json\n"


@pytest.mark.parametrize("name", ["setup.py", "pyproject.toml", "requirements.lock", "requirements-dev.lock", "scripts/make_environment.py"])
def test_a_change_of_what_the_environment_is_made_from_makes_it_again(checkout: Path, fake: dict[str, str], name: str) -> None:
    call(checkout, fake)
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    call(checkout, fake)
    assert calls(fake) == ["run", "run"]


def test_every_checkout_has_its_own_environment(checkout: Path, fake: dict[str, str]) -> None:
    other = checkout.parent / "other"
    shutil.copytree(checkout, other)
    call(checkout, fake)
    call(other, fake)
    assert calls(fake) == ["run", "run"]


@pytest.mark.parametrize("lost", ["ready", "bin/python"])
def test_an_incomplete_environment_is_made_again(checkout: Path, fake: dict[str, str], lost: str) -> None:
    call(checkout, fake)
    for folder in Path(fake["XDG_CACHE_HOME"]).glob("metric-rollups/*/*/"):
        (folder / lost).unlink()
        assert call(checkout, fake).returncode == 0
    assert calls(fake) == ["run", "run", "run"]


def test_another_python_is_named_with_what_to_do(checkout: Path, environ: dict[str, str], tmp_path: Path) -> None:
    commands = tmp_path / "few"
    commands.mkdir()
    for name in ("bash", "cat", "dirname", "sha256sum", "shasum"):
        if found := shutil.which(name):
            (commands / name).symlink_to(found)
    for name, text in (("python3.11", "exit 127"), ("python3", "echo 3.12")):
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    ended = call(checkout, environ | {"PATH": str(commands)}, "plan")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"Python 3.11 is needed. Found: {commands}/python3.11 (does not start), {commands}/python3 (3.12). Install it" in ended.stderr


@pytest.fixture
def silent_index() -> Iterator[socket.socket]:
    """A package index that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.fixture
def wheels(checkout: Path) -> Path:
    """A folder that holds the only package that the checkout needs."""
    folder = checkout.parent / "wheels"
    folder.mkdir()
    digest = hashlib.sha256(write_wheel(folder, "nothing").read_bytes()).hexdigest()
    (checkout / "requirements.lock").write_text(f"nothing==1.0 --hash=sha256:{digest}\n")
    return folder


def asking(environ: dict[str, str], server: socket.socket) -> dict[str, str]:
    index = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}/simple"
    return environ | {"PIP_INDEX_URL": index, "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}


def given(environ: dict[str, str], wheels: Path) -> dict[str, str]:
    return environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


@pytest.mark.slow
@pytest.mark.usefixtures("wheels")
def test_a_refused_download_says_what_was_tried_and_no_password(checkout: Path, environ: dict[str, str], silent_index: socket.socket) -> None:
    environ = asking(environ, silent_index)
    silent_index.close()
    ended = call(checkout, environ, "plan")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"-m pip install --quiet --no-input --no-compile --require-hashes --no-deps --requirement {checkout}/requirements.lock" in ended.stderr
    assert "It takes packages from :env:.index-url='http://***@127.0.0.1:" in ended.stderr
    assert "secret" not in ended.stderr


@pytest.mark.slow
def test_what_a_killed_set_up_left_is_made_again_once_its_installer_is_gone(
    checkout: Path, environ: dict[str, str], silent_index: socket.socket, wheels: Path
) -> None:
    first = subprocess.Popen([checkout / "scripts/run"], env=asking(environ, silent_index), stderr=subprocess.DEVNULL)
    connection, _ = silent_index.accept()
    silent_index.close()
    (python,) = psutil.Process(first.pid).children()
    python.kill()  # the installer lives on and waits for an answer
    assert first.wait() != 0
    second = subprocess.Popen([checkout / "scripts/run", "again"], env=given(environ, wheels), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert second.stderr is not None
    assert second.stderr.readline() == "Another set-up is at work; waiting for it.\n"
    connection.close()
    assert second.communicate()[0] == "rollups again\n"


@pytest.mark.slow
def test_two_first_runs_at_once_set_up_once(checkout: Path, environ: dict[str, str], wheels: Path) -> None:
    both = [
        subprocess.Popen([checkout / "scripts/run", str(number)], env=given(environ, wheels), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in (1, 2)
    ]
    outputs = [process.communicate() for process in both]
    assert [text for text, _ in outputs] == ["rollups 1\n", "rollups 2\n"]
    assert "".join(notes for _, notes in outputs).count("Setting up") == 1
