"""What is refused as the file for rejected records, before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulkio.errors import ConfigError, SchemaError
from bulkio.files import Keeping, csv, open_source
from bulkio.files.rejects import RejectFile

TABLE = pa.table({"a": [1], "b": ["x"]})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder with one source of each kind, and a folder `out`."""
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_bytes(b"a,b\n1,2\n")
    pq.write_table(TABLE, "x.parquet")
    Path("out").mkdir()
    Path("folder").mkdir()
    pq.write_table(TABLE, "folder/x.parquet")
    return tmp_path


def refusal(source: object, dest: str, load_id: str | None = None) -> str:
    """Return why a file is refused for a source's records."""
    opened = open_source(source, batch_rows=9, keeping=Keeping())
    before = sorted(Path.cwd().rglob("*"))
    try:
        with pytest.raises(ConfigError) as caught:
            RejectFile(dest, opened, load_id=load_id)
    finally:
        opened.close()
    assert sorted(Path.cwd().rglob("*")) == before
    return str(caught.value)


@pytest.mark.parametrize("dest", ["bad.csv", "bad.txt", "bad", "out/BAD.CSV"])
def test_names_for_a_csv(here, dest):
    """The records of a CSV go under any name that does not say something else."""
    RejectFile(dest, open_source("x.csv", batch_rows=9, keeping=Keeping()))


def test_a_csv_under_another_format(here):
    """A name that tells another format, or a compression, would have to be said otherwise at each replay."""
    assert refusal("x.csv", "bad.parquet") == (
        "rejects: bad.parquet is parquet by its ending, and the records of a CSV stay CSV: end it in .csv"
    )
    assert refusal("x.csv", "bad.csv.gz").endswith(
        "bad.csv.gz would be compressed, and rejected records are to be read and mended: leave that out"
    )


@pytest.mark.parametrize("dest", ["bad.csv", "bad", "bad.parquet.gz"])
def test_types_that_would_be_lost(here, dest):
    """The records of a file with types go to a format that keeps them."""
    assert refusal("x.parquet", dest) == (
        f"rejects: {dest} must end as a file does that keeps the source's types:"
        " .parquet, .pq, .arrow, .feather, .ipc, .arrows"
    )


def test_types_that_the_format_does_not_have(here):
    """What Parquet cannot hold is refused by its own words."""
    kind = pa.month_day_nano_interval()
    with pa.ipc.new_file("x.arrow", pa.schema([("i", kind)])) as writer:
        writer.write_table(pa.table({"i": pa.array([(1, 2, 3)], kind)}))
    source = open_source("x.arrow", batch_rows=9)
    RejectFile("bad.arrow", source)
    with pytest.raises(SchemaError, match=r"bad.parquet: Parquet cannot hold these columns: i"):
        RejectFile("bad.parquet", source)


def test_places_where_nothing_can_be_written(here, monkeypatch):
    """A folder that is not there, or that is not the user's, standard output, and URLs."""
    assert refusal("x.csv", "none/bad.csv") == (
        "rejects: none/bad.csv is in a folder that does not exist: make it first"
    )
    assert refusal("x.csv", "-").startswith("rejects: - is not a file: ")
    assert refusal("x.csv", "").startswith("rejects: '' is not a file: ")
    assert "only files of this machine" in refusal("x.csv", "s3://x/bad.csv")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert refusal("x.csv", "out/bad.csv") == (
        "rejects: out/bad.csv is in a folder that you may not write to: name another one"
    )


def test_the_sources_own_files(here):
    """None of the source's files is written over, by whatever name it goes."""
    Path("link.csv").symlink_to("x.csv")
    for dest in ("x.csv", "./out/../x.csv", "link.csv"):
        assert refusal("x.csv", dest) == (
            f"rejects: {dest} would stand where the source's own file {here / 'x.csv'} is: name another one"
        )
    Path("y.errors.jsonl").write_bytes(b"a\n1\n")
    assert "the source's own file" in refusal(csv("y.errors.jsonl"), "y")


@pytest.mark.parametrize(
    ("source", "dest"),
    [
        ("folder", "folder/bad.parquet"),
        ("folder", "folder/../folder/bad.arrow"),
        ("fold*/*.parquet", "folder/bad.parquet"),
        ("**/*.parquet", "bad.parquet"),
        ("**/x.p*", "out/x.pq"),
        (csv("*.csv"), "bad.csv"),
        (csv("x*v"), "x.errors.csv"),
    ],
)
def test_a_name_among_the_sources_files(here, source, dest):
    """The next load would take it for a file of the source, or its parts for a folder that is not searched."""
    name = source.path if not isinstance(source, str) else source
    assert refusal(source, dest) == (
        f"rejects: {dest} would be found among the source's files ({name}), and be loaded with them the next time:"
        " name one in another folder"
    )


@pytest.mark.parametrize(
    ("source", "dest"),
    [("folder/x.parquet", "folder/bad.parquet"), ("folder/x*.parquet", "folder/bad.parquet"), (csv("*.csv"), "bad")],
)
def test_a_name_beside_the_sources_files(here, source, dest):
    """A name that no search of the source's finds may stand beside them."""
    RejectFile(dest, open_source(source, batch_rows=9, keeping=Keeping()))


def test_files_that_exist(here):
    """What may not have been loaded yet is never written over, but by the load that has written it."""
    for name in ("bad.csv", "bad.csv.errors.jsonl"):
        Path(name).write_text("{}\n")
        assert refusal("x.csv", "bad.csv", "n") == (
            f"rejects: {name} exists, and may hold records that nobody has loaded yet: move it away, or name another"
            " file"
        )
        Path(name).unlink()
    Path("bad.csv").symlink_to("nowhere")
    assert "bad.csv exists" in refusal("x.csv", "bad.csv")
    for reasons in ("", "x\n", "[1]\n", '{"load_id": null}\n', '{"load_id": "m"}\n'):
        Path("bad.csv.errors.jsonl").write_text(reasons)
        assert "bad.csv exists" in refusal("x.csv", "bad.csv", "n")
    Path("bad.csv.errors.jsonl").write_text('{"load_id": "n"}\n{"load_id": "n"}\n')
    RejectFile("bad.csv", open_source("x.csv", batch_rows=9, keeping=Keeping()), load_id="n")
    assert "bad.csv exists" in refusal("x.csv", "bad.csv")


def test_files_with_other_headers(here):
    """One file has one header: the columns of all files, in their order."""
    for header in (b"b,a\n", b"a,b,c\n"):
        Path("y.csv").write_bytes(header)
        opened = open_source(csv(["x.csv", "y.csv"]), batch_rows=9, keeping=Keeping(), columns=["a"])
        with pytest.raises(ConfigError) as caught:
            RejectFile("bad.csv", opened)
        assert str(caught.value) == (
            "y.csv has not the same columns, in the same order, as x.csv: rejects gathers records of all files under"
            " one header; load these one by one"
        )
    named = csv(["x.csv", "y.csv"], header=True, header_names=("c", "d", "e"))
    Path("x.csv").write_bytes(b"a,b,c\n")
    RejectFile("bad.csv", open_source(named, batch_rows=9, keeping=Keeping()))


@pytest.mark.parametrize(
    "other", [{"a": ["x"], "b": ["x"]}, {"a": [1]}, {"a": [1], "b": ["x"], "c": [1]}, {"a": [1], "b": [None]}]
)
def test_files_with_other_types(here, other):
    """Of files with types, columns that are not loaded must agree, too; their order need not."""
    pq.write_table(pa.table({name: other[name] for name in reversed(other)}), "y.parquet")
    columns = ["a"] if isinstance(other["a"][0], int) else ["b"]
    opened = open_source(["x.parquet", "y.parquet"], batch_rows=9, columns=columns)
    with pytest.raises(ConfigError, match=r"^y.parquet has not the same columns, .* as x.parquet: rejects gathers"):
        RejectFile("bad.parquet", opened)
    pq.write_table(pa.table({"b": ["y"], "a": [2]}), "y.parquet")
    RejectFile("bad.parquet", open_source(["x.parquet", "y.parquet"], batch_rows=9))


def test_columns_that_cannot_be_read(here):
    """Where a column of the file would be lost, its records cannot be kept; nor can those without a form."""
    opened = open_source("x.parquet", batch_rows=9, columns=["a"])
    opened.parts[0].faults = {"b": "is a geometry"}  # as the part tells it
    with pytest.raises(ConfigError, match=r'^x.parquet: "b" is a geometry: rejects keeps whole records, and'):
        RejectFile("bad.parquet", opened)
    rows = open_source([{"a": 1}], batch_rows=9)
    with pytest.raises(ConfigError, match=r"^rejects keeps rejected records as they are, and a list of dicts has no"):
        RejectFile("bad.parquet", rows)
