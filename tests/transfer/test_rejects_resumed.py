"""The file of rejected records, made by a later run than the one that has loaded, and where its name is an odd one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import bulkio
from bulkio.errors import FileError

if TYPE_CHECKING:
    from pathlib import Path

WAYS: dict[str, dict[str, Any]] = {
    "at once": {},
    "by chunks": {"commit": "chunk", "chunk_bytes": 200},
    "two phases": {"workers": 2},
}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a file of which one record is refused, and which is cut into several chunks."""
    monkeypatch.setattr("bulkio.plan.rejects._LEAST_BYTES", 300)
    path = tmp_path / "in.csv"
    path.write_text("id\n" + "".join(f"{number}\n" for number in range(200)))
    return path


def make_table(connect: Any, dsn: str) -> None:
    connect(dsn).execute("CREATE TABLE t (id int CHECK (id <> 7))")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def unfinished(one_dsn: str, connect: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Load, but for the making of the file; return the folder that it belongs into."""
    make_table(connect, one_dsn)

    def fail(*_: object) -> None:
        raise FileError("no room", path="")

    folder = source.parent / "rejects"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("bulkio.files.rejects.ending.assemble", fail)
        dest = folder / "bad.csv"
        report = bulkio.load(source, "t", one_dsn, rejects=str(dest), max_rejects="1", load_id="x")
    assert report.rejects is None
    assert report.notes == (
        f"the load is done, but {dest} could not be put together (no room): the rejected records are in the folder"
        f" {dest}.parts, in pieces: mend that, and run `bulkio loads resume x`",
    )
    assert names(folder) == ["bad.csv.parts"]
    return folder


@pytest.mark.parametrize("rejects", ["rejects/bad.csv", "other.csv", None])
def test_another_run_makes_the_file(
    one_dsn: str, source: Path, unfinished: Path, rejects: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so under the name that the load had, wherever it runs and whatever it is told itself."""
    monkeypatch.chdir(source.parent)
    again = bulkio.load(source, "t", one_dsn, rejects=rejects, load_id="x")
    assert (again.already, again.rejected, again.rejects) == (True, 1, str(unfinished / "bad.csv"))
    assert names(unfinished) == ["bad.csv", "bad.csv.errors.jsonl"]
    assert names(source.parent) == ["in.csv", "rejects"]


def test_resuming_a_load_that_is_done(one_dsn: str, source: Path, unfinished: Path) -> None:
    """It makes the file, although the source is gone; the third run leaves it alone."""
    source.unlink()
    for _ in range(2):
        assert bulkio.resume_load("x", one_dsn).rejects == str(unfinished / "bad.csv")
        assert (unfinished / "bad.csv").read_text() == "id\n7\n"
        assert names(unfinished) == ["bad.csv", "bad.csv.errors.jsonl"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [b"b\xe2\x82\xacd.csv", b"b\xe4d.csv"])
def test_names_that_the_ledger_cannot_hold(latin1_dsn: str, connect: Any, source: Path, way: str, name: bytes) -> None:
    """They are escaped in it; the file is made nevertheless, and the same load knows it again."""
    make_table(connect, latin1_dsn)
    folder = source.parent / "rejects"
    folder.mkdir()
    dest = folder / os.fsdecode(name)
    for is_done in (False, True):
        report = bulkio.load(source, "t", latin1_dsn, rejects=str(dest), max_rejects="1", load_id="x", **WAYS[way])
        assert (report.already, report.rejected, report.notes) == (is_done, 1, ())
    assert dest.read_text() == "id\n7\n"
    assert names(folder) == [dest.name, f"{dest.name}.errors.jsonl"]
