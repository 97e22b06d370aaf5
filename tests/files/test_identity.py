"""A file's identity: its bytes and their order, never its name or times; and it is that of the bytes that are read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

import bulkio
from bulkio.errors import FileError
from bulkio.files import identity, open_source
from bulkio.files.formats.part import file_state
from bulkio.files.identity import csv_options, fingerprints

if TYPE_CHECKING:
    from pathlib import Path


def never() -> bool:
    return False


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Make a file of more than two blocks."""
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(2 * identity._BLOCK_BYTES + 17))
    return path


def test_size_and_hash_are_those_of_the_bytes(big: Path) -> None:
    """Blocks of any number give what the whole gives."""
    [found] = fingerprints([(str(big), file_state(str(big)))], never)
    data = big.read_bytes()
    assert (found.name, found.bytes, found.xxh3_128) == (str(big), len(data), xxhash.xxh3_128(data).hexdigest())


def test_a_file_has_one_fingerprint_each_in_order(tmp_path: Path) -> None:
    """The order of a source's files counts; neither names nor times do."""
    for name, value in (("a.parquet", 1), ("b.parquet", 2), ("c.parquet", 1)):
        pq.write_table(pa.table({"a": [value]}), tmp_path / name)
    os.utime(tmp_path / "c.parquet", (1, 1))

    def hashes(*names: str) -> list[str]:
        with_source = open_source([str(tmp_path / name) for name in names], batch_rows=10)
        return [each.xxh3_128 for each in with_source.fingerprints(never)]

    assert hashes("a.parquet", "b.parquet") == hashes("c.parquet", "b.parquet")
    assert hashes("a.parquet", "b.parquet") == hashes("b.parquet", "a.parquet")[::-1]


@pytest.mark.parametrize("change", ["replaced", "in place", "while it is read"])
def test_a_changed_file_is_refused(big: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash would be of other bytes than those that were opened first, or of some of both."""
    state = file_state(str(big))

    def write() -> bool:
        if change == "replaced":
            other = big.with_name("other")
            other.write_bytes(big.read_bytes())
            other.replace(big)
        else:
            with big.open("r+b") as file:
                file.write(b"other")
        return False

    if change != "while it is read":
        write()
    with pytest.raises(FileError, match="was changed or replaced while it was being loaded"):
        fingerprints([(str(big), state)], write if change == "while it is read" else never)


def test_a_file_that_was_just_written_is_given_a_tick(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change within the tick of the one before leaves the file's state as it is: so it passes first, once."""
    slept: list[float] = []
    monkeypatch.setattr(identity.time, "sleep", slept.append)
    now = file_state(str(big))[3]
    monkeypatch.setattr(identity.time, "time_ns", lambda: now + 1000)
    fingerprints([(str(big), file_state(str(big)))] * 3, never)
    monkeypatch.setattr(identity.time, "time_ns", lambda: now + 10**9)
    fingerprints([(str(big), file_state(str(big)))] * 3, never)
    assert slept == [identity._TICK_S]


def test_reading_can_be_stopped(big: Path) -> None:
    """Whoever is cancelled waits for one block and not for the file."""
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return True

    with pytest.raises(FileError, match="was stopped"):
        fingerprints([(str(big), file_state(str(big)))], stop)
    assert len(asked) == 1


def test_streams_have_no_fingerprint(tmp_path: Path) -> None:
    """An object, an open CSV, and a stream that is kept in a file because it is read twice."""
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    assert open_source(pa.table({"a": [1]}), batch_rows=10).fingerprints(never) is None
    for infer in (False, True):
        with path.open("rb") as file:
            source = open_source(bulkio.csv(file, infer=infer), batch_rows=10)
            assert source.fingerprints(never) is None
            source.close()


def test_options_of_a_csv_that_change_its_rows() -> None:
    """Those that are not the default, whatever was spelled out; other sources have none."""
    assert csv_options(bulkio.csv("a.csv", delimiter=",", null="-", header_names=["a"])) == {
        "null": "-",
        "header_names": ("a",),
    }
    assert csv_options("a.csv") == {}
