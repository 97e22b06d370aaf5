"""What a notebook shows: one error, in a few lines, whatever bulkio was doing, in a loop that runs already."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from gaps import lacking

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = pa.table({"a": [1, 2**40]})
#: calls that fail at different stages, and what they raise
FAILURES: list[tuple[Callable[[str], object], type[Exception]]] = [
    (lambda dsn: bulkio.load("missing.parquet", "t", dsn), bulkio.FileError),
    (lambda dsn: bulkio.load(TABLE, "t", dsn, types={"a": "int2"}), bulkio.EncodeError),
    (lambda dsn: bulkio.load(TABLE, "t", dsn, types={"a": "int2"}, method="records"), bulkio.EncodeError),
    (lambda dsn: bulkio.load(TABLE, "t", dsn, progress=lambda _: {}["mine"]), KeyError),
    (lambda dsn: bulkio.read("select 1/(x-2) from generate_series(1, 3) x", dsn).read_all(), bulkio.DriverError),
    (lambda dsn: bulkio.export("select 1/(x-2) from generate_series(1, 3) x", "x.csv", dsn), bulkio.DriverError),
    (lambda dsn: bulkio.export("select 1", "no such folder/x.parquet", dsn), bulkio.FileError),
    (lambda dsn: bulkio.export("select 1", "no such folder/x.csv", dsn), bulkio.FileError),
]


@pytest.mark.parametrize(("call", "kind"), FAILURES)
def test_no_error_stands_on_a_group(
    one_dsn: str, tmp_path, monkeypatch, call: Callable[[str], object], kind: type[Exception]
) -> None:
    """IPython prints an ExceptionGroup whole, even one that is an error's suppressed context."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        call(one_dsn)
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, BaseExceptionGroup)
        error = error.__context__


SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(colors="nocolor", config=config)
for cell in sys.argv[1:]:
    shell.run_cell(cell)
"""


def shown(*cells: str, tmp_path) -> str:
    """Run cells in IPython, whose loop runs as a notebook's does; return what it prints."""
    environ = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SHELL, *cells], capture_output=True, text=True, check=True, env=environ
    )
    return done.stdout + done.stderr


def test_an_error_in_a_notebook(one_dsn: str, tmp_path) -> None:
    """It is the user's line and the message; the error itself still tells everything."""
    try:
        import IPython  # noqa: F401
    except ImportError:
        lacking("IPython")
    head = f"import bulkio, pyarrow as pa; dsn = {one_dsn!r}; t = pa.table({{'a': [2**40]}})"
    call = "bulkio.load(t, 't', dsn, types={'a': 'int2'})"
    for cell in (call, f"await {call.replace('load', 'aio.load')}"):
        text = shown(head, cell, tmp_path=tmp_path)
        assert cell in text
        assert 'EncodeError: row 1, column "a": 1099511627776 is out of range for int2' in text
        assert len(text.splitlines()) <= 8, text
    text = shown(head, call, "import sys, traceback; traceback.print_exception(sys.last_value)", tmp_path=tmp_path)
    assert "bulkio/transfer/send.py" in text
