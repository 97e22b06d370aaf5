"""Sources in another shape: renamed and added columns, and what stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.files import open_source
from bulkio.files.shape import ShapedSource
from bulkio.options.templates import read_template

if TYPE_CHECKING:
    from pathlib import Path

    from bulkio.protocols import Source


def write(path: Path, *ids: int) -> None:
    """Write a Parquet file of ids in row groups of two."""
    texts = pa.array([f"v{i}" for i in ids], pa.string())
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "v": texts}), path, row_group_size=2)


def shaped(source: Source, **add: str) -> ShapedSource:
    """Return the source with columns added."""
    return ShapedSource(source, rename={"v": "text"}, add=add)


def rows(source: Source) -> list[dict[str, object]]:
    """Read all rows."""
    return [row for batch in source.batches() for row in batch.to_pylist()]


def test_each_row_gets_its_file_and_number(tmp_path: Path) -> None:
    """Files change in the middle of a load; rows are counted over all of them, as errors count them."""
    write(tmp_path / "a.parquet", 1, 2, 3)
    write(tmp_path / "b.parquet")
    write(tmp_path / "c.parquet", 4)
    source = shaped(open_source(tmp_path, batch_rows=2), file="{file}", n="{row}", both="{{{row}}}:{file}", c="x")
    found = rows(source)
    assert [row["file"] for row in found] == [*[str(tmp_path / "a.parquet")] * 3, str(tmp_path / "c.parquet")]
    assert [row["n"] for row in found] == [1, 2, 3, 4]
    assert found[3] == {
        "id": 4,
        "text": "v4",
        "file": str(tmp_path / "c.parquet"),
        "n": 4,
        "both": f"{{4}}:{tmp_path / 'c.parquet'}",
        "c": "x",
    }
    assert source.schema.names == ["id", "text", "file", "n", "both", "c"]
    source.close()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_chunks_give_the_same_rows(tmp_path: Path, count: int) -> None:
    """Read in pieces and backwards, each row has its file and number still."""
    write(tmp_path / "a.parquet", *range(9))
    write(tmp_path / "b.parquet", *range(5))
    source = shaped(open_source(tmp_path, batch_rows=2), file="{file}", n="{row}")
    chunks = source.chunks(count)
    backwards = [[row for batch in source.read(chunk) for row in batch.to_pylist()] for chunk in reversed(chunks)]
    assert [row for part in reversed(backwards) for row in part] == rows(source)
    source.close()


def test_chunks_whose_rows_nobody_knows_stay_one(tmp_path: Path) -> None:
    """A CSV does not tell its rows; where they are wanted, it is read from its start."""
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("v\n" + "x\n" * 1000)
    plain, numbered = ({"c": "x"}, {"n": "{row}"})
    files = bulkio.csv([tmp_path / "a.csv", tmp_path / "b.csv"])
    with_constant = shaped(open_source(files, batch_rows=100), **plain)
    assert len(with_constant.chunks(2)) == 2
    with_numbers = shaped(open_source(files, batch_rows=100), **numbered)
    [chunk] = with_numbers.chunks(2)
    found = [row["n"] for batch in with_numbers.read(chunk) for row in batch.to_pylist()]
    assert found == list(range(1, 2001))


def test_an_object_has_no_files() -> None:
    """{file} needs files; all else is there for any source."""
    with pytest.raises(bulkio.ConfigError, match=r"add: \{file\} needs files, and the source is Table"):
        shaped(open_source(pa.table({"v": ["a"]}), batch_rows=9), f="x{file}")
    assert rows(shaped(open_source(pa.table({"v": ["a"]}), batch_rows=9), n="{row}", t="{now}"))[0]["n"] == 1


def test_names_that_are_swapped() -> None:
    """All are renamed at once."""
    source = open_source(pa.table({"a": [1], "b": [2]}), batch_rows=9)
    assert rows(ShapedSource(source, rename={"a": "b", "b": "a"}, add={})) == [{"b": 1, "a": 2}]


@pytest.mark.parametrize(
    ("rename", "add", "message"),
    [
        ({"b": "x"}, {}, 'Table: has no column "b", which rename names'),
        ({"idd": "x"}, {}, r'has no column "idd", which rename names; did you mean "id"\?'),
        ({"id": "v"}, {}, 'rename makes two columns "v": leave one out with columns'),
        ({}, {"v": "x"}, "has a column \"v\" already, which add names: rename it, or leave it out with columns='-v'"),
    ],
)
def test_what_is_refused(rename: dict[str, str], add: dict[str, str], message: str) -> None:
    """Columns that are not there, or would be there twice."""
    source = open_source(pa.table({"id": [1], "v": ["a"]}), batch_rows=9)
    with pytest.raises(bulkio.SchemaError, match=message):
        ShapedSource(source, rename=rename, add=add)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{fil}", r"has \{fil\}, which is not a placeholder: there are \{file\}, .*did you mean \"file\"\?"),
        ("{}", r"has \{\}, which is not a placeholder"),
        ("{now:%Y}", r"has \{now:%Y\}, which is not a placeholder"),
        ("{row!r}", r"has \{row!r\}"),
        ("a}", r"has a brace that stands alone: write \{\{ and \}\} for braces"),
        ("{", "has a brace that stands alone"),
    ],
)
def test_what_no_template_is(text: str, message: str) -> None:
    """A slip is told with what there is, before anything is opened."""
    with pytest.raises(bulkio.ConfigError, match=message):
        read_template(text)
    with pytest.raises(bulkio.ConfigError, match='add of "c": '):
        bulkio.load("none.parquet", "t", "host=/nowhere", add={"c": text})


def test_texts_of_templates() -> None:
    """Doubled braces are braces, and nothing is an empty text."""
    assert read_template("").text({}) == ""
    assert read_template("{{x}}").text({}) == "{x}"
    assert read_template("a{{{row}b").text({"row": "7"}) == "a{7b"
    assert read_template("{row}").only == "row"
    assert read_template("{row}{file}").only == ""
