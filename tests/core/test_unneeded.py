"""A process that does without: in one of its own, since nobody can take it back."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from transforms.core.unneeded import do_without_unneeded
do_without_unneeded()
import numpy, pyarrow
pyarrow.array(numpy.zeros(1)).to_numpy()
import apache_beam
try:
    import pandas
except ModuleNotFoundError as error:
    print(error.name, "pandas" in sys.modules)
import json.tool
"""

BEFORE = """
import pandas
from transforms.core.unneeded import do_without_unneeded
do_without_unneeded()
import pandas
print(pandas.DataFrame([1]).size)
"""


def told(program: str) -> str:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return ended.stdout.strip()


def test_neither_arrow_nor_beam_imports_it() -> None:
    assert told(PROGRAM) == "pandas False"


def test_what_was_imported_before_stays() -> None:
    assert told(BEFORE) == "1"
