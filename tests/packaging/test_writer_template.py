"""The SAM template of the writer function: valid, and true about what the function is and needs."""

import base64
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local_servers import ministack
from scripts.package_writer import modules
from tests.archive.s3_servers import aws_environment
from tests.core.rollup_tables import DAY, row, table
from tests.stores.dynamodb_proxy import proxied
from tests.stores.dynamodb_servers import new_place
from transforms.calls.waiting import Waiting
from transforms.core.packed import pack
from transforms.stores.lambda_writer import BatchWriter

TEMPLATE = Path(__file__).parents[2] / "scripts" / "writer.yaml"


class Loader(yaml.SafeLoader):
    """Short forms such as !Ref are taken as their text."""


Loader.add_multi_constructor("!", lambda _loader, _suffix, node: node.value)


@pytest.fixture(scope="module")
def function() -> dict[str, Any]:
    properties: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)["Resources"]["Writer"]["Properties"]  # noqa: S506 - a safe loader
    return properties


@pytest.mark.slow
def test_cfn_lint_finds_nothing() -> None:
    ended = subprocess.run([Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", TEMPLATE], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_its_handler_is_in_the_package(function: dict[str, Any]) -> None:
    module, _, name = function["Handler"].rpartition(".")
    assert module.replace(".", "/") + ".py" in modules()
    assert callable(getattr(importlib.import_module(module), name))
    assert function["ReservedConcurrentExecutions"] == "Concurrency"
    assert function["Timeout"] < 900


def test_its_role_may_do_what_the_function_does_and_nothing_else(function: dict[str, Any]) -> None:
    (allowed,) = function["Policies"][0]["Statement"]
    with aws_environment(), ministack() as url, proxied(url) as proxy:
        place = new_place(proxy.url)
        del proxy.requests[:]
        writer = BatchWriter([place.table], lambda _: place, Waiting())
        (body,) = pack(table([row("h1", 0)]), "1m").values()
        item = {"series": '["host","acme","h1","cpu",[]]', "item": "1m#2025-11-01T00:00", "seen": None, "expires": None}
        head = {"format": 1, "key": "k", "run_id": "run", "unit": ["host", DAY, 0], "granularity": "1m", "table": place.table}
        assert writer.answer(head | {"items": [item | {"body": base64.b64encode(body).decode()}]})["items"] == [{"outcome": "written"}]
        (stored,) = [one["Item"] for one in proxy.named("PutItem")]
        gone = item | {"body": None, "seen": {"version": int(stored["version"]["N"])}}
        assert writer.answer(head | {"items": [gone]})["items"] == [{"outcome": "written"}]
        done = {f"dynamodb:{operation}" for operation, _ in proxy.requests}
    assert sorted(done) == sorted(allowed["Action"])
