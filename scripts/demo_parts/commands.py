"""The commands that the demo runs, shown as a user would type them."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

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
        """`say` prints a line."""
        self._folder, self._say = folder, say
        self.typed: list[str] = []

    def run(self, *commands: Sequence[str]) -> list[str]:
        """Show and run them side by side; what each wrote to standard output.

        Raises:
            CommandFailed: one of them ended with another exit code than 0.
        """
        for command in commands:
            self.typed.append(self.shown(command))
            self._say(f"$ {self.typed[-1]}")
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
        words = [shlex.quote(word).replace(str(self._folder), "$DEMO") for word in ("scripts/run", *command)]
        lines = [" ".join(words[:2])]
        for option, value in _options(words[2:]):
            piece = f"{option} {value}".rstrip()
            if len(lines[-1]) + len(piece) < _WIDTH:
                lines[-1] += f" {piece}"
            else:
                lines.append(f"    {piece}")
        return " \\\n".join(lines)

    @staticmethod
    def _typed(command: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", f"pipelines.{command[0]}", *command[1:]]


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of an option and its value; a flag or a positional stands alone."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        if pairs and pairs[-1][0].startswith("--") and not pairs[-1][1] and not word.startswith("--"):
            pairs[-1] = pairs[-1][0], word
        else:
            pairs.append((word, ""))
    return pairs
