"""Makes the virtual environment that scripts/setup_env found missing: `make_environment.py run|dev|bench|gcp PACKAGES ENVIRONMENT`.

    PACKAGES/packages-run      what requirements.lock names
    PACKAGES/packages-dev      what requirements-dev.lock names besides
    PACKAGES/packages-bench    what requirements-bench.lock names besides
    PACKAGES/packages-gcp      what requirements-gcp.lock names besides
    ENVIRONMENT                sees packages-run and packages-MODE, and has this checkout installed, editable

Packages are shared by all checkouts with the same locks: a second clone takes seconds and downloads nothing. A folder counts once it holds `ready`;
whatever a killed set-up left is removed and made again. One set-up works at a time, the others wait for it. Needs nothing but the standard library.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

Command = Sequence[str | Path]

ROOT: Final = Path(__file__).resolve().parents[1]
LOCKS: Final = {"run": "requirements.lock", "dev": "requirements-dev.lock", "bench": "requirements-bench.lock", "gcp": "requirements-gcp.lock"}
EXPECTED_S: Final = {"run": 25, "dev": 20, "bench": 15, "gcp": 15}


class SetUpError(Exception):
    """The environment can't be made; the message says what was tried and what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def is_ready(folder: Path) -> bool:
    """Whether the folder is complete and its Python is still there (an upgrade of Python may have removed it)."""
    return (folder / "ready").exists() and os.access(folder / "bin/python", os.X_OK)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Holds the lock. Child processes inherit it: the installer of a killed set-up is waited for, too, before its folder is made again."""
    with lock.open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - has no keyword
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up is at work; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def call(command: Command) -> None:
    """Runs a command, its output on stderr.

    Raises:
        SetUpError: it ended with an error.
    """
    environ = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONWARNINGS": "ignore"}
    ended = subprocess.run(command, stdout=sys.stderr.fileno(), env=environ, close_fds=False, check=False)
    if ended.returncode:
        raise SetUpError(f"this command ended with {ended.returncode}: {' '.join(map(str, command))}")


def install(python: Path, *arguments: str | Path) -> None:
    """Calls pip, which follows its usual configuration (PIP_INDEX_URL, PIP_FIND_LINKS, PIP_CERT, pip.conf …)."""
    command = [python, "-I", "-m", "pip", "install", "--quiet", "--no-input", "--no-compile", *arguments]
    try:
        call(command)
    except SetUpError as error:
        raise SetUpError(
            f"{error}\nIt takes packages from {index_of(python)}. If that can't be reached from here, name what can: PIP_INDEX_URL=https://…, or"
            " PIP_FIND_LINKS=/folder/of/wheels with PIP_NO_INDEX=1; a proxy with HTTPS_PROXY, certificates with PIP_CERT. Then run the same again."
        ) from error


def index_of(python: Path) -> str:
    """Where pip looks for packages, without passwords."""
    listed = subprocess.run([python, "-I", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    places = re.findall(r"^\S+\.(?:index-url|extra-index-url|find-links|no-index)=.*$", listed, flags=re.MULTILINE)
    return re.sub(r"//[^/@\s]*@", "//***@", ", ".join(places)) or "https://pypi.org/simple"


def make_venv(folder: Path, *options: str, sees: Sequence[Path] = ()) -> Path:
    """Makes an empty virtual environment in place of what may be there, in which the packages of others are visible; returns its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    call([sys.executable, "-I", "-m", "venv", *options, folder])
    for number, other in enumerate(sees):
        line = f"import site; site.addsitedir({str(site_packages(other))!r})\n"
        (site_packages(folder) / f"packages-{number}.pth").write_text(line)
    return folder / "bin/python"


def site_packages(folder: Path) -> Path:
    return folder / "lib/python3.11/site-packages"


def make_packages(packages: Path, mode: str) -> list[Path]:
    """Makes the packages of the mode unless they are ready; returns the folders that together hold them."""
    folder = packages / f"packages-{mode}"
    below = [] if mode == "run" else make_packages(packages, "run")
    if not is_ready(folder):
        options = ["--without-pip"] if below else []
        python = make_venv(folder, *options, sees=below)
        if not below:
            upgrade_pip(python, folder)
        install(python, "--require-hashes", "--no-deps", "--requirement", ROOT / LOCKS[mode])
        compile_modules(python, folder)
        (folder / "ready").touch()
    return [folder, *below]


def upgrade_pip(python: Path, folder: Path) -> None:
    """Installs the locked pip: it needs half the time of the one that Python 3.11 brings (8 instead of 16 CPU seconds for requirements.lock)."""
    if locked := re.search(r"^pip==[^\\]*(\\\n +--hash=[^\\\n]*)+", (ROOT / LOCKS["run"]).read_text(), flags=re.MULTILINE):
        (folder / "pip.txt").write_text(locked[0] + "\n")
        install(python, "--require-hashes", "--requirement", folder / "pip.txt")


def compile_modules(python: Path, folder: Path) -> None:
    """Compiles what gets imported, on all cores; pip would use one and compile tests, too.

    Left to the first import it would never be kept where PYTHONDONTWRITEBYTECODE is set, and every start would take 3 s more.
    """
    command: Command = [python, "-I", "-m", "compileall", "-qq", "-j", "0", "-x", r"/tests?/|_test\.py$", site_packages(folder)]
    subprocess.run(command, stdout=sys.stderr.fileno(), check=False)  # some packages carry templates that are no Python


def make_environment(environment: Path, sees: Sequence[Path]) -> None:
    """Makes the environment of this checkout, with the commands of the packages it sees."""
    python = make_venv(environment, "--without-pip", sees=sees)
    install(python, "--no-index", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    for folder in sees:
        borrow_commands(folder, environment)
    (environment / "ready").touch()


def borrow_commands(folder: Path, environment: Path) -> None:
    """Gives the environment the commands of another one, run by its own Python."""
    for command in (folder / "bin").iterdir():
        target = environment / "bin" / command.name
        if target.exists() or command.is_symlink():
            continue
        content = command.read_bytes()
        if content.startswith(b"#!"):
            target.write_bytes(content.replace(bytes(folder / "bin/python"), bytes(environment / "bin/python")))
            target.chmod(0o755)
        else:
            target.symlink_to(command)


def main(mode: str, packages: Path, environment: Path) -> None:
    packages.mkdir(parents=True, exist_ok=True)
    with alone(packages / "lock"):
        if is_ready(environment) and all(is_ready(packages / f"packages-{name}") for name in ("run", mode)):
            return
        expected_s = 3 + sum(EXPECTED_S[name] for name in {"run", mode} if not is_ready(packages / f"packages-{name}"))
        say(f"Setting up {environment} (once, about {expected_s} s) …")
        make_environment(environment, make_packages(packages, mode))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except SetUpError as error:
        say(f"Setting up stopped: {error}")
        sys.exit(1)
