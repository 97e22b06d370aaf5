"""`bulkio init`: what it makes runs as it is, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from cli.program import Program

FILES = [".gitignore", "bulkio.toml", "crontab.txt", "in/orders.csv", "orders.toml"]


def files_in(folder: Path) -> list[str]:
    """List the files of a folder and its subfolders."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_newcomer_s_first_run(tmp_path: Path, bulkio_home: Path, bulkio_alone: Program) -> None:
    """It works at once, from any folder, and once more."""
    bulkio_alone.env["BULKIO_HOME"] = str(bulkio_home)
    folder = tmp_path / "my etl"
    made = bulkio_alone("init", folder, cwd=tmp_path)
    assert made.code == 0
    assert made.out.splitlines()[-3:] == [
        "next:",
        f"  bulkio run '{folder}/orders.toml'",
        "  bulkio connections --help",
    ]
    assert files_in(folder) == FILES
    assert bulkio_alone("validate", folder).code == 0
    for _ in range(2):
        done = bulkio_alone("run", folder / "orders.toml", "--param", "day=2024-01-03", cwd=tmp_path)
        assert done.code == 0, done.err
    found = pq.read_table(folder / "out" / "customers-2024-01-03.parquet").to_pylist()
    assert [(row["customer"], row["orders"], str(row["amount"])) for row in found] == [
        ("Ann", 2, "42.75"),
        ("Bob", 1, "7.00"),
    ]
    tested = bulkio_alone("connections", "test", "warehouse", "--json", cwd=folder)
    assert tested.code == 0, tested.err


def test_in_a_folder_that_is_there(tmp_path: Path, bulkio_alone: Program) -> None:
    """Other files stay as they are."""
    (tmp_path / "mine").write_text("mine")
    done = bulkio_alone("init", ".", "--json", cwd=tmp_path)
    assert json.loads(done.out) == {
        "folder": ".",
        "files": ["orders.toml", "bulkio.toml", "in/orders.csv", ".gitignore", "crontab.txt"],
    }
    assert files_in(tmp_path) == sorted([*FILES, "mine"])


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, bulkio_alone: Program, name: str) -> None:
    """Nor is anything written beside it; a link that leads nowhere is one, too."""
    (tmp_path / "in").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    done = bulkio_alone("init", tmp_path)
    assert (done.code, done.err) == (
        2,
        f"Error: nothing was written: {tmp_path / name} would be overwritten; name another folder\n",
    )
    assert files_in(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path, bulkio_alone: Program) -> None:
    """The file is named."""
    (tmp_path / "file").write_text("")
    done = bulkio_alone("init", tmp_path / "file" / "x")
    assert (done.code, done.err) == (1, f"Error: {tmp_path}/file/x/orders.toml: cannot be written: Not a directory\n")


def test_the_crontab_s_line(tmp_path: Path, bulkio_alone: Program) -> None:
    """It is the shell's and cron's: the folder's blanks and percent signs mean themselves."""
    folder = tmp_path / "50 % off"
    assert bulkio_alone("init", folder).code == 0
    comment, line = (folder / "crontab.txt").read_text().splitlines()
    assert comment.startswith("#")
    minutes, command = line[:10], line[10:]
    assert minutes == "* * * * * "
    assert "%" not in command.replace("\\%", "")
    assert "bulkio run --due . >> bulkio.log 2>&1" in command
    there = command.replace("\\%", "%").partition(" && ")[0]
    done = subprocess.run(["/bin/sh", "-c", f"{there} && pwd"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{os.path.realpath(folder)}\n"


def test_a_table_of_the_user_s_own_stays(tmp_path: Path, bulkio_home: Path, bulkio_alone: Program) -> None:
    """The README's `orders` in the embedded server, for one: the pipeline replaces only its own."""
    bulkio_alone.env["BULKIO_HOME"] = str(bulkio_home)
    (tmp_path / "mine.csv").write_text("mine\n1\n")
    load = ("load", tmp_path / "mine.csv", "orders", "--mode", "replace", "--dsn", "embedded")
    assert bulkio_alone(*load).code == 0
    assert bulkio_alone("init", tmp_path / "etl").code == 0
    assert bulkio_alone("run", tmp_path / "etl" / "orders.toml").code == 0
    out = bulkio_alone("export", "orders", "-", "--format", "csv", "--dsn", "embedded")
    assert out.out == "mine\n1\n", out.err
