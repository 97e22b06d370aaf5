"""In what a load is another one than the recorded one: every difference is told, in words."""

from __future__ import annotations

from bulkio.show import naming_flags
from bulkio.transfer.records import LoadFacts, differences


def file(name: str, size: int, digest: str) -> dict[str, object]:
    return {"name": name, "bytes": size, "xxh3_128": digest}


THEN = LoadFacts(
    "public", "t", "append", {"files": [file("a", 1, "x"), file("b", 1, "y")], "version": "1"}, {"nul": "strip"}
)


def test_the_same_load_differs_in_nothing() -> None:
    """Names of files do not count."""
    source = {"files": [file("c", 1, "x"), file("d", 1, "y")], "version": "1"}
    assert differences(THEN, LoadFacts("public", "t", "append", source, {"nul": "strip"})) == ()


def test_all_differences_are_told_at_once() -> None:
    """Table, mode, version, each file by its content or size, and options that are given, gone or others."""
    source = {"files": [file("/c", 1, "z"), file("/d", 2000, "y")], "version": "2"}
    now = LoadFacts("s", "u", "truncate", source, {"columns": ["a"]})
    assert differences(THEN, now) == (
        "table_schema: 'public' then, 's' now",
        "table_name: 't' then, 'u' now",
        "mode: 'append' then, 'truncate' now",
        "source_version: '1' then, '2' now",
        "file 1, /c: its content is different, 1 bytes then, 1 now",
        "file 2, /d: its content is different, 1 bytes then, 2,000 now",
        "columns: not given then, ['a'] now",
        "nul: 'strip' then, not given now",
    )


def test_the_order_of_files_counts() -> None:
    """Rows would be stored in another order, and in an upsert another one would win."""
    source = {"files": [file("b", 1, "y"), file("a", 1, "x")], "version": "1"}
    assert len(differences(THEN, LoadFacts("public", "t", "append", source, {"nul": "strip"}))) == 2


def test_files_and_streams_are_not_compared_by_their_version_alone() -> None:
    """A load of files was not a load of a stream of the same version; options are named as flags to the program."""
    with naming_flags():
        found = differences(THEN, LoadFacts("public", "t", "append", {"version": "1"}, {}))
    assert found == ("the source: 2 files then, no files now", "--nul: 'strip' then, not given now")
