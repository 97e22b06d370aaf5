"""The README's examples run, in its order, and what it lists is what the program has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from bulkio.choices import ExportMethod, LoadMethod
from bulkio.cli.exits import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the folder a reader may stand in: orders.parquet, pipelines/, and `bulkio` can be found."""
    shutil.copy(ROOT / "sample_data" / "orders.parquet", tmp_path)
    for name in ("sample_data", "pipelines"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("out", "lineitem.parquet"))
    program = tmp_path / "bin" / "bulkio"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bulkio "$@"\n')
    program.chmod(0o755)
    return tmp_path


def test_examples_run(folder: Path, one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Every example of the shell and of Python runs, one after the other, and leaves what the README says."""
    env = {**os.environ, "BULKIO_DSN": one_dsn, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    programs = {"sh": ["bash", "-euc"], "python": [sys.executable, "-W", "error", "-c"]}
    printed = ""
    for language, code in BLOCKS:
        if language not in programs:
            continue
        command = [*programs[language], code]
        done = subprocess.run(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        printed += done.stdout
    assert '{"rows": 15000, ' in printed
    database = connect(one_dsn)
    assert database.execute("select count(*) from orders").fetchall() == [(15_000,)]
    notes = [(1, "new"), (2, None), (3, "from pandas"), (4, "from DuckDB")]
    assert database.execute("select id, note from notes order by id").fetchall() == notes
    assert {path.name for path in folder.iterdir()} >= {"copy.parquet", "one_customer.arrow"}
    assert (folder / "pipelines" / "out" / "orders-1996-01-02.parquet").exists()


def test_every_kind_of_block_is_known() -> None:
    """No example escapes the test above by its language; `console` is for what the tests cannot run in themselves.

    `bash` is what tests/integrations/airflow runs, where Airflow is.
    """
    languages = [language for language, _ in BLOCKS]
    assert set(languages) == {"console", "sh", "bash", "python"}
    assert (languages.count("console"), languages.count("bash")) == (1, 1)
    assert README.count("```") == 2 * len(BLOCKS)


def test_make_targets() -> None:
    """The commands it tells to run are targets of the Makefile."""
    targets = re.findall(r"^\$ make (\w+)", README, re.MULTILINE)
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in targets)


def test_exit_codes() -> None:
    """The table of exit codes is the program's own."""
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)
    assert rows == [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]


def test_methods() -> None:
    """The table of methods has all of them, in the order of the options."""
    rows = re.findall(r"^\| (?:load|export)? ?\| `(\w+)` \|", README, re.MULTILINE)
    assert rows == [*get_args(LoadMethod), *get_args(ExportMethod)]


def test_links() -> None:
    """Every file it links to is there."""
    missing = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not (ROOT / link).exists()]
    assert missing == []
