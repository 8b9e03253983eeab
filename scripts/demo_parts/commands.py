"""The commands that the demo runs, shown as a user would type them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

ROOT: Final = Path(__file__).resolve().parents[2]
_WIDTH: Final = 120


class CommandFailed(Exception):
    """A command ended with another exit code than 0; the message holds what it said."""

    def __init__(self, shown: str, exit_code: int, said: str) -> None:
        super().__init__(f"this command ended with {exit_code}:\n  $ {shown}\n{said}")
        self.exit_code = exit_code


class Commands:
    """Runs `rollups` commands of this checkout. In what is shown the demo's folder is called `$DEMO`."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """`say` prints a line. A folder that would need quotes is shown as it is."""
        self._folder, self._say = str(folder), say
        self._name = "$DEMO" if quote(self._folder) == self._folder else self._folder
        self.typed: list[str] = []

    def run(self, command: Sequence[str]) -> str:
        """Show and run a command; what it wrote to standard output. Raises CommandFailed if it ends with another exit code than 0."""
        return self.run_each("", [""], command)[0]

    def run_each(self, name: str, values: Sequence[str], command: Sequence[str]) -> list[str]:
        """Show and run, side by side, a command for each of the values, which stand where it says `$name`."""
        shown = self.shown(command)
        self.typed.append(f"for {name} in {' '.join(values)}; do {shown}; done" if name else shown)
        self._say(f"$ {self.typed[-1]}")
        return self._run([[word.replace(f"${name}", value) if name else word for word in command] for value in values])

    def _run(self, commands: Sequence[Sequence[str]]) -> list[str]:
        started = [
            subprocess.Popen(self._typed(one), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8") for one in commands
        ]
        ended = [(process, *process.communicate()) for process in started]
        for command, (process, out, err) in zip(commands, ended, strict=True):
            if process.returncode:
                raise CommandFailed(self.shown(command), process.returncode, f"{out}\n{err}".strip())
        return [out for _, out, _ in ended]

    def shown(self, command: Sequence[str]) -> str:
        """The command to type in this checkout, broken into lines before options."""
        words = [_quoted(word.replace(self._folder, self._name)) for word in ("scripts/run", *command)]
        lines = [" ".join(words[:2])]
        for option, value in _options(words[2:]):
            piece = f"{option} {value}".rstrip()
            if len(lines[-1]) + len(piece) < _WIDTH:
                lines[-1] += f" {piece}"
            else:
                lines.append(f"    {piece}")
        return " \\\n".join(lines)

    def setting(self) -> str:
        """What sets the variable that the commands need, as a shell reads it."""
        return f"DEMO={shlex.quote(self._folder)}"

    @staticmethod
    def _typed(command: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", f"pipelines.{command[0]}", *command[1:]]


def _quoted(word: str) -> str:
    """For a shell, which fills in variables."""
    if re.fullmatch(r"[\w@%+=:,./$-]+", word):
        return word
    return f'"{word}"' if "$" in word else shlex.quote(word)


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of an option and its value; a flag or a positional stands alone."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        if pairs and pairs[-1][0].startswith("--") and not pairs[-1][1] and not word.startswith("--"):
            pairs[-1] = pairs[-1][0], word
        else:
            pairs.append((word, ""))
    return pairs
