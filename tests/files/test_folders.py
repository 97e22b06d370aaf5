"""Folders and patterns: every file is loaded once, or an error or a note says why it is not."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.errors import FileError, SchemaError
from bulkio.files import open_source
from servers import fetch

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, first: int = 1, **columns: object) -> Path:
    """Write a file of two rows, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [first, first + 1], **columns}), path)
    return path


def ids(source: object, **options: object) -> list[int]:
    """Read the ids of all rows."""
    opened = open_source(source, **{"batch_rows": 100, **options})
    return [row for batch in opened.batches() for row in batch["id"].to_pylist()]


def refuse(source: object, message: str, error: type[Exception] = FileError) -> None:
    """Check that a source is refused before anything is read."""
    with pytest.raises(error, match=message):
        open_source(source, batch_rows=100)


def test_what_a_folder_s_load_leaves_out_is_told(one_dsn: str, tmp_path: Path) -> None:
    """In the plan, in the report, by name: hidden files, those with an underscore, those of other formats."""
    folder = tmp_path / "in"
    write(folder / "a.parquet")
    for name in ("_SUCCESS", ".hidden.parquet", "b.csv", "c.parquet.gz", "notes"):
        (folder / name).write_text("x")
    (folder / "_temporary").mkdir()
    notes = (f"left out of {folder}: .hidden.parquet, _SUCCESS, _temporary, b.csv, c.parquet.gz, notes",)
    plan = bulkio.plan_load(folder, "t", one_dsn)
    assert plan.notes == notes
    assert f"note: {notes[0]}" in plan.describe()
    assert bulkio.load(folder, "t", one_dsn).notes == notes
    assert bulkio.load(folder, "t", one_dsn, mode="truncate").notes == notes
    assert bulkio.load(f"{folder}/a*", "t", one_dsn).notes == ()
    for number in range(10):
        (folder / f"x{number}").touch()
    assert open_source(folder, batch_rows=1).notes == (
        f"left out of {folder}: .hidden.parquet, _SUCCESS, _temporary, b.csv, c.parquet.gz, notes, x0, x1 and 8 more",
    )
    (folder / ".hidden.parquet").unlink()


def test_folders_in_a_folder_are_refused(tmp_path: Path) -> None:
    """Their files would be left out; a pattern finds them."""
    write(tmp_path / "a.parquet")
    write(tmp_path / "2024" / "b.parquet", 3)
    (tmp_path / "z.parquet").mkdir()
    write(tmp_path / "z.parquet" / "part-0.parquet", 5)
    refuse(tmp_path, r"has folders in it \(2024, z\.parquet\), which are not searched: .*\*\*/\*\.parquet")
    refuse(f"{tmp_path}/*", "matches the folder .*2024, whose files it does not match")
    refuse(f"{tmp_path}/**/2*", "matches the folder .*2024, whose files it does not match")
    assert ids([f"{tmp_path}/**/[ab]*"]) == [3, 4, 1, 2]
    assert ids(f"{tmp_path}/**") == [3, 4, 1, 2, 5, 6]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_no_file_is_loaded_twice(tmp_path: Path, link: str) -> None:
    """By its name and by a link, by two patterns, by two names of one folder."""
    write(tmp_path / "in" / "a.parquet")
    getattr(tmp_path / "in" / "latest.parquet", link)(tmp_path / "in" / "a.parquet")
    for source in (tmp_path / "in", f"{tmp_path}/in/*.parquet", [f"{tmp_path}/in/a*", f"{tmp_path}/in/*t.parquet"]):
        refuse(source, r"latest\.parquet: is the same file as .*a\.parquet: its rows would be loaded twice")
    (tmp_path / "in" / "latest.parquet").unlink()
    (tmp_path / "also").symlink_to(tmp_path / "in")
    for source in (
        [tmp_path / "in", tmp_path / "also"],
        f"{tmp_path}/*/a.parquet",
        [tmp_path / "in" / "a.parquet"] * 2,
    ):
        refuse(source, "would be loaded twice")
    assert ids(tmp_path / "also") == [1, 2]


def test_links_that_lead_nowhere_and_pipes_are_not_passed_over(tmp_path: Path) -> None:
    """Their names say that they are data."""
    write(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").symlink_to(tmp_path / "nowhere")
    refuse(tmp_path, r"b\.parquet: cannot be read: No such file")
    (tmp_path / "b.parquet").unlink()
    os.mkfifo(tmp_path / "b.parquet")
    refuse(tmp_path, r"b\.parquet: cannot be read: it is not a regular file")


def test_a_partition_s_value_is_not_dropped(one_dsn: str, tmp_path: Path) -> None:
    """What stands in the path alone is data, which only a user's choice of columns leaves out."""
    one = write(tmp_path / "t" / "year=2024" / "month=1" / "a.parquet")
    write(tmp_path / "t" / "year=2025" / "month=2" / "b.parquet", 3)
    message = r"year=2024/month=1/a\.parquet: year and month stand in its path and in no column"
    for source in (f"{tmp_path}/t/**/*.parquet", f"{tmp_path}/t/*/*/*", one, one.parent, [one]):
        with pytest.raises(SchemaError, match=message) as caught:
            open_source(source, batch_rows=10)
        assert caught.value.columns == ("year", "month")
    with pytest.raises(SchemaError, match="year stands in its path and in no column"):
        open_source(one, batch_rows=10, columns=["id", "year"])
    assert bulkio.load(f"{tmp_path}/t/**/*.parquet", "t", one_dsn, columns=["id"]).rows == 4
    assert fetch(one_dsn, "SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,), (4,)]


def test_what_lies_above_the_data_is_no_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the folders directly above a file are; it does not matter whether they are named or worked in."""
    deep = write(tmp_path / "user=me" / "deep" / "x.parquet")
    odd = write(tmp_path / "1+1=2" / "x.parquet")
    for source in (deep, deep.parent, f"{deep.parent}/*.parquet", odd, odd.parent):
        assert ids(source) == [1, 2]
    refuse(f"{tmp_path}/**/x.parquet", r"user stands|1\+1 stands", SchemaError)  # searched for
    year = write(tmp_path / "year=2024" / "x.parquet")
    monkeypatch.chdir(year.parent)
    for source in (".", "x.parquet", "*.parquet", year.parent, year):
        refuse(source, "year stands in its path", SchemaError)


def test_an_empty_folder_in_a_folder_is_a_note(tmp_path: Path) -> None:
    """It holds no rows that could be missed."""
    write(tmp_path / "a.parquet")
    (tmp_path / "empty").mkdir()
    (tmp_path / "z.parquet").mkdir()
    (tmp_path / "empty" / ".keep").touch()
    assert ids(tmp_path) == [1, 2]
    assert open_source(tmp_path, batch_rows=1).notes == (f"left out of {tmp_path}: empty, z.parquet",)
    (tmp_path / "empty" / ".keep").unlink()


def test_partitions_that_the_files_have_as_columns_are_loaded(tmp_path: Path) -> None:
    """As DuckDB and polars can write them; and real ones without."""
    query = "SELECT i AS id, i % 2 AS kind FROM range(4) r(i)"
    for name, more in (("with", ", WRITE_PARTITION_COLUMNS true"), ("without", "")):
        duckdb.sql(f"COPY ({query}) TO '{tmp_path / name}' (FORMAT parquet, PARTITION_BY (kind){more})")
    assert sorted(ids(f"{tmp_path}/with/*/*.parquet")) == [0, 1, 2, 3]
    refuse(f"{tmp_path}/without/*/*.parquet", "kind stands in its path", SchemaError)
    refuse(tmp_path / "without", "has folders in it")


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        ("_delta_log/00000000000000000000.json", "Delta"),
        ("metadata/v1.metadata.json", "Iceberg"),
        ("metadata/00001-9c7cb3f0-1d2e-4f3a-8b4c-5d6e7f809102.metadata.json", "Iceberg"),
        ("metadata/version-hint.text", "Iceberg"),
        (".hoodie/hoodie.properties", "Hudi"),
        ("_spark_metadata/0", "Spark streaming"),
    ],
)
def test_a_table_s_folder_is_not_a_folder_of_files(one_dsn: str, tmp_path: Path, mark: str, name: str) -> None:
    """Which of its files count stands in its log: a table of 3 rows was loaded as 6, with an overwritten version's."""
    article = "an" if name == "Iceberg" else "a"
    table = tmp_path / "t"
    paths = [write(table / "data" / f"{number}.parquet", number) for number in (1, 3)]
    top = write(table / "part-0.parquet", 5)
    (table / mark).parent.mkdir()
    (table / mark).write_text("{}")
    (tmp_path / "link").symlink_to(table)
    patterns = [f"{tmp_path}/t/*.parquet", f"{tmp_path}/t/**/*.parquet", f"{tmp_path}/*/data/*"]
    for source in (table, table / "data", tmp_path / "link", *patterns, paths):
        refuse(source, rf"is {article} {name} table, .* library for {name},")
    report = bulkio.load(top, "t", one_dsn)
    shutil.rmtree((table / mark).parent)
    assert report.rows == 2
    assert f"is a file of {article} {name} table" in report.notes[0]


def test_a_folder_of_metadata_alone_is_no_table(tmp_path: Path) -> None:
    """Only Iceberg's own names count."""
    write(tmp_path / "data" / "a.parquet")
    (tmp_path / "metadata").mkdir()
    for name in ("readme.json", "dataset.metadata.json", "1.metadata.json"):
        (tmp_path / "metadata" / name).write_text(json.dumps({}))
    assert ids(tmp_path / "data") == [1, 2]
