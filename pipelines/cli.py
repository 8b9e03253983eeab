"""The command line: argv → job → command → exit code. The only place with argparse, print, sys.exit and os.environ."""

import argparse
import atexit
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any, Final, NoReturn, TextIO

from configs.budget_options import BUDGET_KEYS, asked_budget
from configs.guarding import GUARD_KEYS, Guarded
from configs.jobs import check_run_id, values_of
from configs.limit_options import LIMIT_KEYS
from configs.loader import load_config
from configs.option import defaults, nearest, parse_value
from configs.publishing import PUBLISH_KEYS, Published
from pipelines.commands import COMMANDS, Command
from pipelines.outcome import Outcome
from pipelines.runtime import Runtime, runs_dir
from transforms.calls.control import FixedControl, Wishes
from transforms.calls.limits import Limits
from transforms.core.errors import RollupsError, UsageError
from transforms.core.limits import Rates, changed
from transforms.core.unneeded import do_without_unneeded

INTERRUPTED: Final = 3

_WITH_PLAN: Final = (
    *LIMIT_KEYS,
    *BUDGET_KEYS,
    *GUARD_KEYS,
    *PUBLISH_KEYS,
    "plan",
    "run_id",
    "yes",
    "skip_live",
    "max_dead_letters",
    "max_attempts",
    "workers",
    "runner",
    "shared_folders",
    "work_dir",
    "json",
    "config",
)
"""Options that say how a plan is executed, not what it is."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (DESIGN §4.9)."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)  # Prism's job server lowers its logger's level itself
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s", handlers=[handler])
    logging.getLogger("transforms").setLevel(logging.WARNING)  # such as a pause until credentials are renewed
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it would log every exception that it also raises
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except RollupsError as error:
        _say(f"rollups: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("rollups: interrupted; what is finished stays finished, repeat the command with its --run-id to go on")
        return INTERRUPTED


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """The command `rollups`: ends the process as soon as all is said and what was registered for its end has run.

    An orderly end of the interpreter takes a quarter of a second after Beam was imported, and under load the native threads of its packages were seen to
    abort there, after the work was done.
    """
    do_without_unneeded()
    try:
        code = main(argv)
    except SystemExit as end:  # after --help
        code = int(end.code or 0)
    atexit._run_exitfuncs()  # noqa: SLF001 - what os._exit leaves out
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


def run_as_module(name: str) -> NoReturn:
    """`python -m pipelines.NAME …` is `rollups NAME …`."""
    run([name, *sys.argv[1:]])


def _main(argv: list[str]) -> int:
    parser = _parser()
    if not argv:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    if argv[0] not in (*(one.name for one in COMMANDS), "-h", "--help", "--version"):
        msg = f"there is no command {argv[0]!r}{nearest(argv[0], (one.name for one in COMMANDS))}: see rollups --help"
        raise UsageError(msg)
    given, rest = parser.parse_known_args(_join_values(argv))
    command = next(one for one in COMMANDS if one.name == given.command)
    job = _job(command, given, rest)
    outcome: Outcome = import_module(f"pipelines.{command.module or command.name}").run(job, _runtime(getattr(job, "work_dir", ""), getattr(job, "rates", {})))
    _show("")
    _put(sys.stdout, _json(outcome.data) if job.json and outcome.data is not None else outcome.text)
    return outcome.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rollups",
        description="Replays archived metric postings, recomputes their 1m, 5m and 1h rollups, and upserts them without harm to what is there.",
        epilog="Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 incomplete or dead letters (resumable), 4 differences found, 5 refused by a guard.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for one in COMMANDS:
        _add_command(commands.add_parser(one.name, help=one.help, **_texts(one)), one)
    return parser


def _version() -> str:
    try:
        return f"metric-rollups {version('metric-rollups')}"
    except PackageNotFoundError:
        return "metric-rollups, not installed"


def _texts(command: Command) -> dict[str, Any]:
    examples = "\n".join(f"  {one}" for one in command.examples)
    return {
        "usage": " ".join(("rollups", command.name, *map(str.upper, command.arguments), "OPTIONS")),
        "description": command.help[0].upper() + command.help[1:] + ".",
        "epilog": f"examples:\n{examples}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def _add_command(parser: argparse.ArgumentParser, command: Command) -> None:
    for name in command.arguments:
        parser.add_argument(name, metavar=name.upper())
    for one in command.options:
        text = one.help.replace("%", "%%")
        if one.flag:
            parser.add_argument(f"--{one.name}", dest=one.key, action="store_true", default=argparse.SUPPRESS, help=text)
        else:
            action = "append" if one.many else "store"
            parser.add_argument(f"--{one.name}", dest=one.key, action=action, metavar=one.metavar, default=argparse.SUPPRESS, help=text)


def _join_values(argv: Sequence[str]) -> list[str]:
    """`--period -24h/now` and other times as one word, which argparse would take for two options."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in ("--period", "--start", "--end"):
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    return joined


def _job(command: Command, given: argparse.Namespace, rest: list[str]) -> Any:  # noqa: ANN401 - each command has its own class of job
    written = {name: value for name, value in vars(given).items() if name not in ("command", *command.arguments)}
    typed = {one.key: parse_value(one, written[one.key], f"--{one.name}") for one in command.options if one.key in written}
    beam_options = _beam_options(command, rest)
    config = load_config(str(typed["config"]), command.options) if typed.get("config") else {}
    said = {**config, **typed}
    values = {**defaults(command.options), **_values_of_run(said), **said, **_plan_of_run(command, said)}
    del values["config"]
    _check_required(command, values, typed)
    extra: dict[str, Any] = {name: getattr(given, name) for name in command.arguments}
    if command.beam:
        extra["beam_options"] = beam_options
    if rated := LIMIT_KEYS & values.keys():
        extra["rates"] = {key: values[key] for key in sorted(rated) if values[key] is not None}
    if BUDGET_KEYS & values.keys():
        extra["budget"] = asked_budget(values)
    taken = LIMIT_KEYS | BUDGET_KEYS
    for name, keys, kind in (("guarded", GUARD_KEYS, Guarded), ("published", PUBLISH_KEYS, Published)):
        if values.keys() >= keys:
            extra[name] = kind(**{key: values[key] for key in keys})
            taken |= keys
    values = {key: value for key, value in values.items() if key not in taken}
    fields = {one.key: one.field for one in command.options}
    return command.job(**{fields[key]: value for key, value in values.items()}, **extra)


def _values_of_run(given: dict[str, Any]) -> dict[str, Any]:
    """With `--dead-letters RUN_ID`: what that run was asked for."""
    if not isinstance(run_id := given.get("dead_letters"), str):
        return {}
    check_run_id(run_id)
    return values_of(_runtime().ledger(given.get("work_dir", ""), run_id).plan().request)


def _plan_of_run(command: Command, given: dict[str, Any]) -> dict[str, Any]:
    """The `plan` of a run that is named by its id, if nothing is said that decides what is computed: then it is what was planned."""
    run_id = given.get("run_id")
    if not run_id or given.get("plan") or not given.keys() <= {*_WITH_PLAN} or all(one.key != "plan" for one in command.options):
        return {}
    check_run_id(run_id)
    return {"plan": run_id} if _runtime().ledger(given.get("work_dir", ""), run_id).exists() else {}


def _check_required(command: Command, values: dict[str, Any], typed: dict[str, Any]) -> None:
    if values.get("plan"):
        if twice := sorted(f"--{one.name}" for one in command.options if one.key in typed and one.key not in _WITH_PLAN):
            msg = f"--plan {values['plan']} executes exactly what was planned: leave {', '.join(twice)} out"
            raise UsageError(msg)
        return
    for one in command.options:
        if one.required and not values[one.key]:
            msg = f"--{one.name} is missing: --{one.name} {one.metavar}, {one.help}"
            raise UsageError(msg)


def _beam_options(command: Command, rest: list[str]) -> tuple[str, ...]:
    if not rest:
        return ()
    unknown = rest
    if command.beam:
        unknown = _unknown_to_beam(rest)
    if unknown:
        word = unknown[0].split("=")[0]
        where = "neither ours nor one of the installed Beam's" if command.beam else f"no option of rollups {command.name}"
        msg = f"{word!r} is {where}{nearest(word, (f'--{one.name}' for one in command.options))}"
        raise UsageError(msg)
    if any("multi_threading" in one for one in rest):
        msg = "--direct_running_mode=multi_threading loses elements silently (Beam 2.77): leave it out, --workers N works on N at once safely"
        raise UsageError(msg)
    return tuple(rest)


def _unknown_to_beam(arguments: Sequence[str]) -> list[str]:
    """The arguments that no installed Beam options class takes; abbreviations are not taken either."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser: Any = _Parser(allow_abbrev=False, add_help=False)
    pending, known = [PipelineOptions], set()
    while pending:
        known.add(found := pending.pop())
        pending.extend(found.__subclasses__())
    for one in sorted(known, key=lambda found: found.__name__):
        one._add_argparse_args(parser)  # noqa: SLF001 - how Beam's options classes are meant to be extended
    unknown: list[str] = parser.parse_known_args(list(arguments))[1]
    return unknown


def _runtime(work_dir: str = "", rates: Mapping[str, Any] = MappingProxyType({})) -> Runtime:
    return Runtime(
        limits=Limits(runs_dir(work_dir, os.environ).parent, FixedControl(Wishes(rates=changed(Rates(), rates)))),
        clock=time.time,
        wait=time.sleep,
        say=_say,
        show=_show,
        ask=_ask,
        out=sys.stdout.buffer,
        terminal=sys.stderr.isatty(),
        environ=os.environ,
    )


def _put(stream: TextIO, text: str, end: str = "\n") -> None:
    """Writes to someone who may have gone away: then this and all that follows is written to nobody, and the run goes on as if it were read."""
    try:
        print(text, end=end if text else "", file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(line: str) -> None:
    _put(sys.stderr, line)


def _show(line: str) -> None:
    """A line that the next one replaces; nothing where standard error is no terminal."""
    if sys.stderr.isatty():
        _put(sys.stderr, f"\r\x1b[2K{line}", end="")


def _ask(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1)
