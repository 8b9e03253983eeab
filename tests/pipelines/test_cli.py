"""The command line: what is refused and how, what goes to which stream, where values come from."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.commands import COMMANDS
from tests.builders import NOON_S
from tests.pipelines.worlds import Result, World, call, gauge, key, tree

PERIOD = "2025-11-01T12:00Z/PT1H"
LATER = ", and TO (exclusive) must be later than FROM"
ANY = ("--archive", "file:///nowhere/archive", "--store", "parquet:///nowhere/store")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is left in the user's own folders."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One object of noon with three minutes of one host, by name of its oldest record."""
    world = World(tmp_path)
    world.put(key(NOON_S + 1), gauge("cpu", [1.0, 2.0, 4.0], at=121))
    return world


def refused(argv: Sequence[str], code: int = 2) -> str:
    """The one line that the command answers on standard error."""
    result = call(argv)
    assert (result.code, result.out) == (code, ""), result
    assert result.err.startswith("rollups: "), result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.endswith("\n")
    return result.err.removeprefix("rollups: ").rstrip("\n")


def document(result: Result) -> Any:
    """The one JSON document on standard output, by the letter of the standard."""

    def no_json(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    return json.loads(result.out, parse_constant=no_json)


# --- wrong arguments: exit 2 and one line -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["backfill", "plan", "export"])
@pytest.mark.parametrize(
    ("period", "message"),
    [
        (
            "2025-11-01T00:00/2025-11-02T00:00Z",
            "the time '2025-11-01T00:00' has no offset: write 2025-11-01T00:00Z for UTC or, for example, 2025-11-01T00:00+09:00",
        ),
        (
            "2025-11-02T00:00Z/2025-11-01T00:00Z",
            "the period '2025-11-02T00:00Z/2025-11-01T00:00Z' is reversed: it goes from 2025-11-02T00:00:00Z to 2025-11-01T00:00:00Z" + LATER,
        ),
        (
            "2025-11-01T00:00Z/2025-11-01T09:00+09:00",
            "the period '2025-11-01T00:00Z/2025-11-01T09:00+09:00' is empty: it goes from 2025-11-01T00:00:00Z to 2025-11-01T00:00:00Z" + LATER,
        ),
        ("yesterday/now", "'yesterday' is no time: write it like 2025-11-01T00:00Z, 2025-11-01T09:00+09:00, -24h or now"),
        ("now", "the period 'now' is not FROM/TO: write it like 2025-11-01T00:00Z/2025-11-02T00:00Z, 2025-11-01T00:00Z/PT6H or -24h/now"),
    ],
)
def test_wrong_periods(command: str, period: str, message: str) -> None:
    more = ["--granularity", "5m", *ANY[2:]] if command == "export" else ANY
    assert refused([command, *more, "--period", period]) == message


def test_of_several_periods_any_may_be_the_wrong_one() -> None:
    assert "has no offset" in refused(["plan", *ANY, "--period", PERIOD, "--period", "2025-11-01T00:00/now"])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--metric-types", "hots", "--metric-types: 'hots' is no metric type: choose service, labeled, role, host"),
        ("--metric-types", "host,", "--metric-types: '' is no metric type: choose service, labeled, role, host"),
        ("--metric-types", "host,host", "--metric-types: 'host,host' names a metric type twice"),
        ("--granularities", "1m,10m", "--granularities: '10m' is no granularity: choose 1m, 5m, 1h"),
        ("--edge", "cut", "--edge: 'cut' is no edge policy: choose expand, clip, fail"),
        ("--average", "mean", "--average: 'mean' is no average policy: choose cascade, flat"),
        ("--workers", "0", "--workers: '0' is no whole number of at least 1"),
        ("--workers", "two", "--workers: 'two' is no whole number of at least 1"),
        ("--late-s", "-1", "--late-s: '-1' is no whole number of at least 0"),
        ("--run-id", "../x", "the run id '../x' is not of letters, digits, '.', '_' and '-' (64 at most, the first a letter or digit)"),
        ("--run-id", "x" * 65, f"the run id '{'x' * 65}' is not of letters"),
        ("--role-membership", "/nowhere/roles.csv", "reading the role membership '/nowhere/roles.csv': No such file or directory"),
    ],
)
@pytest.mark.parametrize("command", ["backfill", "plan"])
def test_wrong_values(command: str, option: str, value: str, message: str) -> None:
    assert refused([command, *ANY, "--period", PERIOD, option, value]).startswith(message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--granularity", "10m"), "--granularity: '10m' is no granularity: choose 1m, 5m, 1h"),
        (("--granularity", "1m", "--metric-types", "x"), "--metric-types: 'x' is no metric type: choose service, labeled, role, host"),
        (("--granularity", "1m", "--format", "xml"), "--format: 'xml' is no format: choose csv, json, parquet"),
        ((), "--granularity is missing: --granularity 1m|5m|1h, bucket width"),
        (("--granularities", "1m"), "'--granularities' is no option of rollups export; did you mean --granularity?"),
    ],
)
def test_wrong_values_of_export(more: tuple[str, ...], message: str) -> None:
    assert refused(["export", *ANY[2:], "--period", PERIOD, *more]) == message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["plan", *ANY, "--perid", PERIOD], "'--perid' is no option of rollups plan; did you mean --period?"),
        (["plan", *ANY, f"--perid={PERIOD}"], "'--perid' is no option of rollups plan; did you mean --period?"),
        (["plan", "--arch", "file:///a"], "'--arch' is no option of rollups plan; did you mean --archive?"),
        (["plan", *ANY, "--period", PERIOD, "--dry-run"], "'--dry-run' is no option of rollups plan"),
        (["runs", "--wok-dir", "/nowhere"], "'--wok-dir' is no option of rollups runs; did you mean --work-dir?"),
        (["runs", "r1"], "'r1' is no option of rollups runs"),
        (["status", "r1", "r2"], "'r2' is no option of rollups status"),
        (["export", *ANY[2:], "--gran", "5m", "--period", PERIOD], "'--gran' is no option of rollups export; did you mean --granularity?"),
        (["backfill", *ANY, "--perio", PERIOD], "'--perio' is neither ours nor one of the installed Beam's; did you mean --period?"),
        (["backfill", *ANY, "--period", PERIOD, "--dry"], "'--dry' is neither ours nor one of the installed Beam's"),
        (["backfill", *ANY, "--period", PERIOD, "--direct_num_worker", "2"], "'--direct_num_worker' is neither ours nor one of the installed Beam's"),
        (["backfill", *ANY, "--period", PERIOD, "nonsense"], "'nonsense' is neither ours nor one of the installed Beam's"),
    ],
)
def test_unknown_and_abbreviated_options(argv: list[str], message: str) -> None:
    assert refused(argv).startswith(message)


@pytest.mark.parametrize("words", [["--direct_running_mode=multi_threading"], ["--direct_running_mode", "multi_threading"]])
def test_the_mode_that_loses_elements(words: list[str]) -> None:
    assert refused(["backfill", *ANY, "--period", PERIOD, *words]) == (
        "--direct_running_mode=multi_threading loses elements silently (Beam 2.77): leave it out, --workers N works on N at once safely"
    )


def test_a_beam_option_of_a_wrong_value() -> None:
    assert "--direct_num_workers" in refused(["backfill", *ANY, "--period", PERIOD, "--direct_num_workers=two"])


def test_an_unknown_runner(world: World) -> None:
    result = world.backfill("--runner", "NoSuchRunner")
    assert result.code == 2, result.err
    assert "NoSuchRunner" in result.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["backfil"], "there is no command 'backfil'; did you mean backfill?: see rollups --help"),
        (["frobnicate"], "there is no command 'frobnicate': see rollups --help"),
        (["--jsn"], "there is no command '--jsn'"),
        (["plan", "--store", "parquet:///s", "--period", PERIOD], "--archive is missing: --archive URL, where the archived records are: file:///abs/path"),
        (["plan", "--archive", "file:///a", "--period", PERIOD], "--store is missing: --store URL, where the rollups live: dynamodb://table"),
        (["plan", *ANY], "--period is missing: --period FROM/TO, affected period, TO exclusive"),
        (["plan", *ANY, "--period"], "argument --period: expected one argument"),
        (["plan", "--archive", "", *ANY[2:], "--period", PERIOD], "--archive is missing"),
        (["status"], "the following arguments are required: RUN_ID"),
        (["undo"], "the following arguments are required: RUN_ID"),
        (["status", "no-such-run"], "there is no run 'no-such-run' in '"),
        (["status", "a/b"], "the run id 'a/b' is not of letters"),
        (["undo", "no-such-run"], "there is no run 'no-such-run' in '"),
        (["backfill", "--plan", "no-such-run"], "there is no run 'no-such-run' in '"),
        (["backfill", "--plan", "a", "--run-id", "b"], "--run-id b and --plan a differ"),
        (["runs", "--config", "/nowhere/c.yaml"], "reading the configuration '/nowhere/c.yaml': No such file or directory"),
    ],
)
def test_wrong_commands_and_missing_arguments(argv: list[str], message: str) -> None:
    assert refused(argv).startswith(message)


@pytest.mark.parametrize("command", ["backfill", "plan", "export"])
@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("parket:///data", "the store URL 'parket:///data' has no known scheme; write "),
        ("/data/rollups", "the store URL '/data/rollups' has no known scheme; write "),
        ("parquet://data/rollups", "the store URL 'parquet://data/rollups' has a relative path; write parquet:///"),
        ("parquet://me:hunter2@host/data", "the store URL parquet://…@host/data holds a user name or password"),
    ],
)
def test_stores_that_are_none(world: World, command: str, store: str, message: str) -> None:
    more = ["--granularity", "5m"] if command == "export" else ["--archive", f"file://{world.archive}"]
    line = refused([command, *more, "--store", store, "--period", PERIOD])
    assert line.startswith(message)
    assert "hunter2" not in line


@pytest.mark.parametrize("command", ["backfill", "plan"])
@pytest.mark.parametrize(
    ("archive", "message"),
    [
        ("file://{root}/nothing", "the archive folder '{root}/nothing' is not there or is no folder"),
        ("file://data", "the archive 'file://data' has no absolute path: write file:///abs/path (three slashes)"),
        ("gopher:///data", "the archive 'gopher:///data' has the scheme 'gopher': write file:///abs/path or s3://bucket/prefix"),
        ("{root}/archive", "the archive '{root}/archive' has the scheme '': write file:///abs/path or s3://bucket/prefix"),
    ],
)
def test_archives_that_are_none(world: World, command: str, archive: str, message: str) -> None:
    url = archive.format(root=world.root)
    assert refused([command, "--archive", url, *world.places[2:], "--period", PERIOD]) == message.format(root=world.root)
    assert not world.store.exists()


def test_exporting_from_a_store_that_is_not_there(world: World) -> None:
    assert (
        refused(["export", "--store", f"parquet://{world.store}", "--period", PERIOD, "--granularity", "5m"])
        == f"the store parquet://{world.store} does not exist"
    )
    assert not world.store.exists()


def test_a_work_dir_that_is_a_file(world: World) -> None:
    world.work.write_text("x")
    assert str(world.work) in refused(["plan", *world.asking()])


def test_edges_that_are_to_fail(world: World) -> None:
    line = refused(["backfill", *world.asking("--edge", "fail", period="2025-11-01T12:00:30Z/PT1H")])
    assert line.startswith(
        "the period 2025-11-01T12:00:30Z/2025-11-01T13:00:30Z cuts a 1m bucket and --edge fail was given: ask for 2025-11-01T12:00:00Z/2025-11-01T14:00:00Z"
    )


def test_a_run_id_that_the_store_keeps_for_undoing(world: World) -> None:
    """Before anything is read, not when the first unit is written."""
    assert "undo-" in refused(["backfill", *world.asking("--run-id", "undo-r1")])
    assert not world.store.exists()


# --- run ids and plans ------------------------------------------------------------------------------------------------


def test_a_run_id_stands_for_one_request(world: World) -> None:
    assert world.plan("--run-id", "r1", "--granularities", "5m").code == 0
    before = tree(world.run_dir("r1"))
    line = refused(["backfill", *world.asking("--run-id", "r1", "--granularities", "1h", "--org", "acme", "--granularities", "5m,1h")])
    assert line == (
        "the run 'r1' was planned otherwise (granularities was ('5m',), now ('5m', '1h'); orgs was (), now ('acme',)):"
        " repeat its command to resume it, or leave --run-id out for a new run"
    )
    assert refused(["plan", *world.asking("--run-id", "r1", "--granularities", "5m")]) == (
        f"the run 'r1' exists already: choose another --run-id, or execute it with `rollups backfill --plan r1 --work-dir {world.work}`"
    )
    assert tree(world.run_dir("r1")) == before


def test_a_membership_file_that_changed_is_another_request(world: World) -> None:
    roles = world.root / "roles.csv"
    roles.write_text("org,host,role,valid_from,valid_to\nacme,h1,web:app,,\n")
    assert world.plan("--run-id", "r1", "--role-membership", str(roles)).code == 0
    roles.write_text("org,host,role,valid_from,valid_to\nacme,h1,web:db,,\n")
    assert "was planned otherwise (role_membership_digest was '" in refused(["backfill", *world.asking("--run-id", "r1", "--role-membership", str(roles))])


def test_a_plan_is_executed_as_it_is(world: World) -> None:
    assert world.plan("--run-id", "r1").code == 0
    line = refused(["backfill", "--plan", "r1", "--work-dir", str(world.work), "--period", PERIOD, "--granularities", "5m", "--allow-fewer"])
    assert line == "--plan r1 executes exactly what was planned: leave --allow-fewer, --granularities, --period out"


def test_a_plan_does_not_turn_a_dry_run_into_a_real_one(world: World) -> None:
    assert world.plan("--run-id", "r1").code == 0
    world.execute("r1", "--dry-run")
    assert world.stored() == {}


def test_the_id_of_a_run_alone_stands_for_its_plan(world: World, home: Path) -> None:
    """As `--plan` does: dead letters of a run that is done are accepted without its archive, store and period being named again."""
    world.put(key(NOON_S + 2), b"}\n")
    assert world.backfill("--run-id", "r1", "--granularities", "5m").code == 3
    named = "--run-id", "r1", "--work-dir", str(world.work)
    assert call(["backfill", *named, "--yes", "--json"]).code == 3
    (home / "c.yaml").write_text(f"run_id: r1\nwork_dir: {world.work}\n")
    accepted = call(["backfill", "--config", str(home / "c.yaml"), "--max-dead-letters", "1", "--json"])
    assert (accepted.code, document(accepted)["run_id"], list(document(accepted)["computed"])) == (0, "r1", ["5m"])
    assert "--store is missing" in refused(["backfill", *named, "--archive", f"file://{world.archive}"])
    assert "--archive is missing" in refused(["backfill", *named, "--dry-run"])
    assert "--archive is missing" in refused(["backfill", "--run-id", "r2", "--work-dir", str(world.work)])
    assert "the run id '../x' is not of letters" in refused(["backfill", "--run-id", "../x"])
    assert "--archive is missing" in refused(["plan", *named])


def test_a_plan_may_be_executed_with_other_workers_and_its_own_run_id(world: World) -> None:
    assert world.plan("--run-id", "r1").code == 0
    assert world.execute("r1", "--workers", "1", "--run-id", "r1", "--max-dead-letters", "1").code == 0
    assert world.rows("1h") != []


# --- nothing to read: exit 5 ------------------------------------------------------------------------------------------


def nothing(world: World, command: str, period: str) -> str:
    """The last line of a refusal with exit 5."""
    result = call([command, *world.asking(period=period)])
    assert (result.code, result.out) == (5, "")
    return result.err.splitlines()[-1].removeprefix("rollups: ")


@pytest.mark.parametrize("command", ["backfill", "plan"])
def test_a_period_without_objects_tells_what_the_archive_has(world: World, command: str) -> None:
    world.put(key(NOON_S + 86_399), gauge("cpu", [1.0]))
    assert nothing(world, command, "2024-01-02T00:00Z/PT1H") == (
        f"the archive file://{world.archive} has no object named between 2023-12-31T21:50:00Z/2024-01-03T01:00:00Z"
        " (the period with room for late, early and long objects); the first one listed is of 2025-11-01T12:00:01Z, the last of 2025-11-02T11:59:59Z:"
        " ask for another period, or --allow-empty if that is expected"
    )
    assert not world.store.exists()


@pytest.mark.parametrize("command", ["backfill", "plan"])
def test_an_archive_without_objects(tmp_path: Path, command: str) -> None:
    world = World(tmp_path / "empty")
    assert nothing(world, command, PERIOD) == (
        f"the archive file://{world.archive} holds no object that may be of 2025-10-31T09:50:00Z/2025-11-02T13:00:00Z"
        " (the period with room for late, early and long objects):"
        " give the folder above the YYYY/MM/dd/HH folders, another period, or --allow-empty if that is expected"
    )


def test_nothing_to_read_can_be_accepted(tmp_path: Path) -> None:
    world = World(tmp_path / "empty")
    result = world.backfill("--allow-empty")
    assert (result.code, document(result)["state"], document(result)["objects"]) == (0, "done", 0)
    assert world.stored() == {}


# --- streams ----------------------------------------------------------------------------------------------------------


def test_every_command_answers_with_one_json_document(world: World) -> None:
    plan = world.plan("--run-id", "r1")
    assert (plan.code, document(plan)["run_id"], plan.err) == (0, "r1", "r1\n")
    run = world.execute("r1")
    assert (run.code, document(run)["run_id"], run.err) == (0, "r1", "r1\n")
    status = world.command("status", "r1")
    assert (status.code, document(status)["state"], status.err) == (0, "done", "")
    runs = world.command("runs")
    assert (runs.code, [one["run_id"] for one in document(runs)], runs.err) == (0, ["r1"], "")
    for more in (["--json"], ["--format", "json"], ["--format", "json", "--json"]):
        rows = call(["export", "--store", f"parquet://{world.store}", "--period", PERIOD, "--granularity", "1h", *more])
        assert (rows.code, [one["sum"] for one in document(rows)], rows.err) == (0, [7.0], "")
    undo = world.command("undo", "r1", "--yes")
    assert (undo.code, document(undo)["removed"], undo.err) == (0, {"1m": 3, "5m": 1, "1h": 1}, "")


def test_infinite_averages_are_reported_in_json_too(world: World) -> None:
    world.put(key(NOON_S + 2), gauge("big", [1e308, 1e308], at=62))
    assert world.backfill("--run-id", "r1").code == 0
    world.put(key(NOON_S + 3), gauge("big", [1.0, 1.0], at=63))
    result = world.backfill("--run-id", "r2")
    assert {one["granularity"] for one in document(result)["largest_changes"]} == {"1m", "5m", "1h"}
    document(world.command("status", "r2"))


def test_dead_letters_go_to_standard_output_as_lines_and_nothing_else(world: World) -> None:
    world.put(key(NOON_S + 2), b'{"type":"nonsense","n":1}\n\xff\n')
    assert world.backfill("--run-id", "r1").code == 3
    for more in ([], ["--json"]):
        result = call(["status", "r1", "--dead-letters", "--work-dir", str(world.work), *more])
        letters = [json.loads(line) for line in result.out.splitlines()]
        assert result.code == 0
        assert [list(one) for one in letters] == [["object", "offset", "cause", "detail", "raw"]] * 2
        assert [(one["offset"], one["cause"], one["raw"]) for one in letters] == [
            (0, "unknown type", "eyJ0eXBlIjoibm9uc2Vuc2UiLCJuIjoxfQ=="),
            (26, "bad JSON", "/w=="),
        ]


def test_the_run_id_is_the_first_line_on_standard_error_and_made_from_the_time(world: World) -> None:
    result = world.plan(now_s=1_762_692_180.5)
    assert re.fullmatch(r"20251109T124300-[0-9a-f]{4}\n", result.err)
    assert document(result)["run_id"] == result.err.strip()
    assert document(world.plan())["run_id"] != document(world.plan())["run_id"]


def test_a_refusal_prints_nothing_on_standard_output_even_as_json() -> None:
    refused(["plan", *ANY, "--json", "--period", "now"])


def test_without_arguments_the_help_is_shown_and_it_is_wrong_usage() -> None:
    result = call([])
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("usage: rollups")
    assert all(f"\n    {one.name}" in result.err for one in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_every_command_has_help_with_its_options_and_examples(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command.name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{one.name}" in text for one in command.options)
    assert all(f"  {one}\n" in text for one in command.examples)
    assert command.examples


def test_help_and_version_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--help", "-h", "--version"):
        with pytest.raises(SystemExit) as ended:
            main([word])
        assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 incomplete or dead letters" in " ".join(text.split())
    assert "metric-rollups" in text


def test_an_interruption_can_be_resumed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.runs.run", interrupt)
    result = world.command("runs")
    assert (result.code, result.out) == (3, "")
    assert result.err == "rollups: interrupted; what is finished stays finished, repeat the command with its --run-id to go on\n"


# --- where values come from -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--period", "-24h/now"], ["--period=-24h/now"]])
def test_a_relative_period_needs_neither_quotes_nor_an_equals_sign(world: World, words: list[str]) -> None:
    result = call(["plan", *world.places, *words, "--json"], now_s=NOON_S + 3_600)
    assert document(result)["periods"] == ["2025-10-31T13:00:00Z/2025-11-01T13:00:00Z"]


def test_several_periods_are_united(world: World) -> None:
    result = world.plan(period=["2025-11-01T12:00Z/PT1H", "2025-11-01T14:00Z/PT1H", "-1h/now"], now_s=NOON_S + 7_200)
    assert document(result)["periods"] == ["2025-11-01T12:00:00Z/2025-11-01T15:00:00Z"]


def configured(world: World, text: str, *more: str) -> Any:
    file = world.root / "config.yaml"
    file.write_text(text)
    result = call(["plan", "--config", str(file), "--work-dir", str(world.work), "--json", *more])
    assert result.code == 0, result.err
    return document(result)


def test_a_file_gives_defaults_and_the_command_line_wins(world: World) -> None:
    text = f"""
archive: file://{world.archive}
store: parquet://{world.store}
period: [{PERIOD}]
metric_types: [host, service]
granularities: 5m,1h
edge: clip
late_s: 60
"""
    plan = configured(world, text)
    assert (plan["metric_types"], sorted(plan["computed"]), plan["edge"], plan["reach_s"]["late"]) == (["host", "service"], ["1h", "5m"], "clip", 60)
    plan = configured(world, text, "--metric-types", "role", "--granularities", "1m", "--edge", "expand", "--period", "2025-11-01T13:00Z/PT1H")
    assert (plan["metric_types"], sorted(plan["computed"]), plan["edge"], plan["reach_s"]["late"]) == (["role"], ["1m"], "expand", 60)
    assert plan["periods"] == ["2025-11-01T13:00:00Z/2025-11-01T14:00:00Z"], "not added to the file's"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("perid: now\n", "config.yaml: unknown key 'perid'; did you mean period?"),
        ("granularities: 10m\n", "config.yaml, granularities: '10m' is no granularity: choose 1m, 5m, 1h"),
        ("allow_empty: 3\n", "config.yaml, allow_empty: '3' is neither true nor false"),
        ("- a\n", "config.yaml' is a list: it must be a mapping of option names to values"),
        ("a: [\n", "config.yaml' is no YAML"),
    ],
)
def test_wrong_configuration(world: World, text: str, message: str) -> None:
    file = world.root / "config.yaml"
    file.write_text(text)
    assert message in refused(["plan", "--config", str(file), *world.asking()])


def test_runs_are_kept_where_the_system_keeps_state(world: World) -> None:
    result = call(["plan", *world.places[:4], "--period", PERIOD, "--run-id", "r1"])
    assert result.code == 0, result.err
    assert (world.root / "state" / "metric-rollups" / "runs" / "r1" / "plan.json").exists()


def test_every_pipeline_is_a_module_too() -> None:
    """`python -m pipelines.COMMAND …`; each ends in the same two lines."""
    folder = Path(__file__).parents[2] / "pipelines"
    for one in COMMANDS:
        text = (folder / f"{one.module or one.name}.py").read_text()
        assert text.endswith(f'if __name__ == "__main__":\n    from pipelines.cli import run_as_module\n\n    run_as_module("{one.name}")\n')
