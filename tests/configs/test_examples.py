"""The example files beside the code: complete, loadable, and true about defaults."""

import re
from pathlib import Path

import pytest

from configs.loader import load_config
from configs.option import defaults
from pipelines.commands import COMMANDS, Command
from transforms.stores import KINDS

FOLDER = Path(__file__).parents[2] / "configs"
KEY = re.compile(r'^(?P<example># )?"?(?P<key>[a-z][a-z0-9_]+)"?:(?: |$)', re.MULTILINE)


@pytest.fixture(params=COMMANDS, ids=lambda command: command.name)
def command(request: pytest.FixtureRequest) -> Command:
    found: Command = request.param
    return found


def path_of(command: Command) -> Path:
    return FOLDER / f"{command.name}.yaml"


def keys(command: Command) -> set[str]:
    return {one.key for one in command.options if one.key != "config"}


def test_the_example_names_every_option_of_its_command_once(command: Command) -> None:
    named = [match["key"] for match in KEY.finditer(path_of(command).read_text())]
    assert sorted(named) == sorted(keys(command))


def test_each_key_has_an_explanation_above_it(command: Command) -> None:
    lines = path_of(command).read_text().splitlines()
    for number, line in enumerate(lines):
        if KEY.match(line):
            assert re.match(r"# .*[.:)]$", lines[number - 1]), f"{path_of(command)}:{number + 1}: {line!r} has no sentence above it"


def test_values_that_stand_in_the_example_are_the_defaults_but_for_what_has_none(command: Command) -> None:
    values = load_config(str(path_of(command)), command.options)
    required = {one.key for one in command.options if one.required}
    assert required <= values.keys()
    assert {key: value for key, value in values.items() if key not in required} == {
        key: value for key, value in defaults(command.options).items() if key in values and key not in required
    }


def test_commented_keys_are_valid_when_taken_in(command: Command, tmp_path: Path) -> None:
    taken_in = tmp_path / "all.yaml"
    taken_in.write_text(KEY.sub(lambda match: match[0].removeprefix("# "), path_of(command).read_text()))
    assert load_config(str(taken_in), command.options).keys() == keys(command)


def test_help_and_example_name_every_kind_of_store(command: Command) -> None:
    for option in command.options:
        if option.key in ("store", "from") and command.name not in ("store", "headroom"):  # which are for some kinds only
            (explained,) = re.findall(rf"((?:^#.*\n)+)^(?:# )?{option.key}:", path_of(command).read_text(), re.MULTILINE)
            for scheme in KINDS:
                assert re.search(rf"(?<![a-z+]){re.escape(scheme)}://", option.help)
                assert option.key == "from" or re.search(rf"(?<![a-z+]){re.escape(scheme)}://", explained)


def test_there_is_no_example_without_a_command() -> None:
    others = {"prices", "alarms"}
    assert {path.stem for path in FOLDER.glob("*.yaml")} - others == {one.name for one in COMMANDS}
