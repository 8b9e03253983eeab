"""The team's own health checks: a URL or a program that says whether the live service is well."""

import os
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

from pipelines.guarding import Check

URL_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 30.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An answer that leads elsewhere, such as to a login page, is an answer."""

    def redirect_request(self, *_: object) -> None:
        return None


class UrlCheck:
    """Green is an answer of 2xx in time."""

    def __init__(self, url: str, timeout_s: float = URL_TIMEOUT_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Asks nothing yet."""
        parts = urlsplit(url)
        self._url, self._timeout_s, self._clock = url, timeout_s, clock
        self._shown = f"{parts.scheme}://{parts.netloc}{parts.path}"  # what follows may be a secret
        self._opener = urllib.request.build_opener(_NoRedirect)

    def __call__(self) -> str:
        """One GET."""
        began_s = self._clock()
        try:
            with self._opener.open(self._url, timeout=self._timeout_s) as answer:
                status = int(answer.status)
        except HTTPError as error:
            status = error.code
            error.close()
        except (OSError, HTTPException, ValueError) as error:
            return f"{self._shown} did not answer ({error})"
        if self._clock() - began_s > self._timeout_s:
            return f"{self._shown} took more than {self._timeout_s:g} s to answer"
        return "" if 200 <= status < 300 else f"{self._shown} answered {status}"


class CommandCheck:
    """Green is an end with 0 in time."""

    def __init__(self, command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Runs nothing yet. The command is a program with its arguments, quoted as in a shell."""
        self._words, self._timeout_s = shlex.split(command), timeout_s

    def __call__(self) -> str:
        """One run. What it starts is ended with it."""
        name = self._words[0]
        try:
            process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - the user's own command
        except OSError as error:
            return f"{name} can't be run ({error.strerror})"
        try:
            code = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"{name} did not end within {self._timeout_s:g} s"
        return f"{name} ended with {code}" if code else ""


def checks_of(url: str, command: str) -> Sequence[Check]:
    """Those that are asked for."""
    checks: list[Check] = []
    if url:
        checks.append(UrlCheck(url))
    if command:
        checks.append(CommandCheck(command))
    return checks
