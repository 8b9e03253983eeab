"""The table of options: how one written value becomes a value, and what the table promises about itself."""

import inspect
from collections.abc import Callable

import pytest

from configs.budget_options import BUDGET_OPTIONS
from configs.guarding import GUARD_OPTIONS
from configs.limit_options import LIMIT_OPTIONS
from configs.option import Option, defaults, durations, list_of, nearest, one_of, parse_value, whole_number
from configs.publishing import PUBLISH_OPTIONS
from pipelines.commands import COMMANDS, Command
from transforms.core.errors import UsageError


def refused(parse: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as raised:
        parse()
    return str(raised.value)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("7", 7), ("007", 7), ("1073741824", 1 << 30)])
def test_whole_numbers(text: str, value: int) -> None:
    assert whole_number(0)(text) == value


@pytest.mark.parametrize("text", ["", "-", "--1", "-1", "1.0", "1e3", " 1", "1_000", "0x10", "\u00b2", "\uff11"])
def test_what_is_no_whole_number(text: str) -> None:
    assert refused(lambda: whole_number(0)(text)) == f"{text!r} is no whole number of at least 0"


def test_durations_are_seconds_by_word() -> None:
    parse = durations("granularity", ("1m", "5m", "1h"))
    assert parse("1m=15d, 5m=36h,1h=90m") == (("1m", 1_296_000), ("5m", 129_600), ("1h", 5_400))
    assert parse("5m=30s") == (("5m", 30),)
    assert parse("") == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2m=1d", "'2m' is no granularity: choose 1m, 5m"),
        ("1m=1d,1m=2d", "names a granularity twice"),
        ("1m", "'' is no duration such as 36h or 15d"),
        ("1m=15", "'15' is no duration"),
        ("1m=0d", "'0d' is no duration"),
        ("1m=-1d", "'-1d' is no duration"),
        ("1m=1w", "'1w' is no duration"),
    ],
)
def test_what_is_no_duration_is_refused(text: str, told: str) -> None:
    assert told in refused(lambda: durations("granularity", ("1m", "5m"))(text))


def test_one_of_takes_the_exact_word() -> None:
    parse = one_of("edge policy", ("expand", "clip"))
    assert parse("clip") == "clip"
    assert refused(lambda: parse("Clip")) == "'Clip' is no edge policy: choose expand, clip"


def test_a_list_keeps_its_order_and_may_have_spaces() -> None:
    assert list_of("metric type", ("a", "b", "c"))("c, a") == ("c", "a")


@pytest.mark.parametrize(("text", "told"), [("a,a", "'a,a' names a metric type twice"), ("a,,b", "'' is no metric type"), ("", "'' is no metric type")])
def test_what_is_no_list(text: str, told: str) -> None:
    assert told in refused(lambda: list_of("metric type", ("a", "b"))(text))


def test_many_values_become_a_tuple_and_one_is_enough() -> None:
    many = Option(name="org", help="", many=True)
    assert parse_value(many, ["a", "b"], "--org") == ("a", "b")
    assert parse_value(many, "a", "--org") == ("a",)
    assert parse_value(many, [], "--org") == ()


def test_numbers_are_taken_for_text_where_text_is_asked_for() -> None:
    assert parse_value(Option(name="org", help=""), 12, "org") == "12"


def test_messages_begin_with_the_place() -> None:
    number = Option(name="late-s", help="", parse=whole_number(0))
    assert refused(lambda: parse_value(number, "x", "--late-s")).startswith("--late-s: 'x'")
    assert refused(lambda: parse_value(Option(name="json", help="", flag=True), 1, "f.yaml, json")) == "f.yaml, json: 1 is neither true nor false"


def test_the_nearest_word_is_hinted_at_if_one_is_near() -> None:
    assert nearest("--perod", ("--period", "--org")) == "; did you mean --period?"
    assert nearest("--zzz", ("--period", "--org")) == ""


def test_defaults_of_what_may_be_given_several_times_are_empty() -> None:
    assert defaults((Option(name="org", help="", many=True), Option(name="late-s", help="", default=3))) == {"org": (), "late_s": 3}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
class TestTable:
    def test_names_are_unique_lower_case_and_explained(self, command: Command) -> None:
        names = [one.name for one in command.options]
        assert len(set(names)) == len(names)
        assert all(name == name.lower() and "_" not in name for name in names)
        assert all(one.help for one in command.options)

    def test_every_option_is_a_field_of_the_job(self, command: Command) -> None:
        fields = {*inspect.signature(command.job).parameters}
        given = {
            **dict.fromkeys(LIMIT_OPTIONS, "rates"),
            **dict.fromkeys(BUDGET_OPTIONS, "budget"),
            **(dict.fromkeys(GUARD_OPTIONS, "guarded") | dict.fromkeys(PUBLISH_OPTIONS, "published") if command.beam else {}),
        }
        named = {given.get(one, one.field) for one in command.options}
        assert named - {"config"} == fields - {*command.arguments, "beam_options"}

    def test_defaults_told_in_the_help_are_the_defaults(self, command: Command) -> None:
        for one in command.options:
            _, told, text = one.help.partition("(default: ")
            value = ",".join(one.default) if isinstance(one.default, tuple) else str(one.default)
            if told and not (one.default in ("", 0) or text == "all)"):
                assert text.split(",")[0].rstrip(")") == value.split(",")[0], f"--{one.name}: {one.help}"
