"""The file of rejected records: what it holds, when it appears, and what any end in between leaves."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkio.errors import ConfigError, FileError, LedgerError
from bulkio.files import Keeping, csv, open_source
from bulkio.files.rejects import RejectFile
from bulkio.protocols import Reject
from small_files import small_files

if TYPE_CHECKING:
    from bulkio.files.source import FileSource

DATA = b"\xef\xbb\xbfa,b\r\n" + b"".join(b'%d,"x\r\n%d"\r\n' % (i, i) for i in range(1, 101))


@pytest.fixture
def folder(tmp_path):
    """Make a folder for the file, which does not hold the source."""
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.fixture
def source(tmp_path):
    """Open a CSV of a hundred rows."""
    path = tmp_path / "x.csv"
    path.write_bytes(DATA)
    return open_source(path, batch_rows=7, keeping=Keeping())


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def reasons(path: Path) -> list[dict[str, object]]:
    """Return the reasons beside a file."""
    return [json.loads(line) for line in Path(f"{path}.errors.jsonl").read_text().splitlines()]


def reject(row: int, message: str = "no") -> Reject:
    """Return a rejected record."""
    return Reject(row, message)


def store_all(file: RejectFile, source: FileSource, rows: list[int], count: int = 3) -> None:
    """Store these rows, chunk by chunk, as a load does."""
    for chunk in source.chunks(count):
        here = [row for row in rows if chunk.counts_from <= row < chunk.counts_from + (chunk.rows or 1 << 40)]
        file.store(chunk, [reject(row) for row in here])


def test_a_csv(source, folder):
    """The file has the source's own mark and header, and the records byte by byte; the reasons have their places."""
    dest = folder / "bad.csv"
    file = RejectFile(str(dest), source, load_id="n")
    file.begin("n")
    first, *_, last = source.chunks(4)
    file.store(last, [Reject(100, 'no "x"', "b", "22P02"), Reject(99, "zwei\n'Zeilen' ä", None)])
    file.store(first, [reject(2)])
    assert names(folder) == ["bad.csv.parts"]
    file.finish(3)
    assert names(folder) == ["bad.csv", "bad.csv.errors.jsonl"]
    assert dest.read_bytes() == b'\xef\xbb\xbfa,b\r\n2,"x\r\n2"\r\n99,"x\r\n99"\r\n100,"x\r\n100"\r\n'
    place = {"file": source.name, "load_id": "n"}
    assert reasons(dest) == [
        place | {"row": 2, "line": 4, "column": None, "sqlstate": None, "message": "no"},
        place | {"row": 99, "line": 198, "column": None, "sqlstate": None, "message": "zwei\n'Zeilen' ä"},
        place | {"row": 100, "line": 200, "column": "b", "sqlstate": "22P02", "message": 'no "x"'},
    ]


TABLE = pa.table(
    {
        "id": pa.array(range(1, 101), pa.uint16()),
        "few": pa.array([str(i % 3) for i in range(100)]).dictionary_encode(),
        "nested": [[{"x": i}] for i in range(100)],
    }
).replace_schema_metadata({"of": "the file"})


def write(path: Path) -> None:
    """Write the table as the path ends."""
    if path.suffix == ".parquet":
        pq.write_table(TABLE, path, row_group_size=15)
        return
    with (pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream)(path, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=15)


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".arrows"])
@pytest.mark.parametrize("into", [".parquet", ".arrow", ".arrows", ".arrows.zst"])
def test_a_typed_file(tmp_path, folder, ending, into):
    """The file has all columns with their types and the metadata, though one column was chosen, and is read again."""
    write(tmp_path / f"x{ending}")
    source = open_source(tmp_path / f"x{ending}", batch_rows=7, columns=["id"], keeping=Keeping())
    dest = folder / f"bad{into}"
    file = RejectFile(str(dest), source)
    file.begin(None)
    store_all(file, source, [1, 16, 50, 100])
    file.mark_committing()
    file.finish(4)
    again = open_source(dest, batch_rows=100)
    assert again.schema.equals(open_source(source.paths[0], batch_rows=1).schema)
    assert again.schema.metadata[b"of"] == b"the file"
    rows = [row for batch in again.batches() for row in batch.to_pylist()]
    assert rows == [TABLE.to_pylist()[i] for i in (0, 15, 49, 99)]
    assert [(line["row"], line["line"], line["load_id"]) for line in reasons(dest)] == [
        (row, None, None) for row in (1, 16, 50, 100)
    ]


def test_columns_of_one_name(tmp_path, folder):
    """A file may have two columns of one name that are not loaded; its records keep both."""
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array(["x"]), pa.array([2.5])], ["id", "b", "b"])
    with pa.ipc.new_file(tmp_path / "x.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    source = open_source(tmp_path / "x.arrow", batch_rows=7, columns=["id"], keeping=Keeping())
    file = RejectFile(str(folder / "bad.arrow"), source)
    file.begin(None)
    file.store(source.chunks(1)[0], [reject(1)])
    file.finish(1)
    assert pa.ipc.open_file(folder / "bad.arrow").read_all().equals(pa.Table.from_batches([batch]))


def test_what_differs_between_dictionaries(tmp_path, folder):
    """Records whose dictionaries differ, even far down, come together in Arrow's file format."""
    kind = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    with pa.ipc.new_stream(tmp_path / "x.arrows", pa.schema([("d", kind)])) as writer:
        for text in "abc":
            values = pa.array([text]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
            writer.write_batch(pa.record_batch([pa.ListArray.from_arrays([0, 1], values)], schema=writer_schema(kind)))
    source = open_source(tmp_path / "x.arrows", batch_rows=7, keeping=Keeping())
    file = RejectFile(str(folder / "bad.arrow"), source)
    file.begin(None)
    [chunk] = source.chunks(1)
    file.store(chunk, [reject(1)])
    file.store_staged(chunk, [reject(2), reject(3)])
    file.finish(3)
    again = open_source(folder / "bad.arrow", batch_rows=100)
    assert [row["d"] for batch in again.batches() for row in batch.to_pylist()] == [["a"], ["b"], ["c"]]


def writer_schema(kind: pa.DataType) -> pa.Schema:
    """Return the schema of one column."""
    return pa.schema([("d", kind)])


def test_nothing_rejected(source, folder):
    """Then there is no file."""
    file = RejectFile(str(folder / "bad.csv"), source)
    file.begin(None)
    store_all(file, source, [])
    file.mark_committing()
    file.finish(0)
    assert names(folder) == []


def test_a_load_that_fails(source, folder):
    """It leaves nothing, whether it was about to commit or not."""
    for commits in (False, True):
        file = RejectFile(str(folder / "bad.csv"), source)
        file.begin(None)
        store_all(file, source, [1, 2, 50])
        if commits:
            file.mark_committing()
        file.discard()
        file.discard()
        assert names(folder) == []


def test_a_chunk_is_stored_anew(source, folder):
    """What a chunk is stored with last is what counts; a row that is told twice has its first reason."""
    file = RejectFile(str(folder / "bad.csv"), source)
    file.begin(None)
    [chunk] = source.chunks(1)
    file.store(chunk, [reject(1)])
    file.store(chunk, [])
    file.store(chunk, [reject(3, "first"), reject(2), reject(3, "second")])
    file.mark_committing()
    file.store_staged(chunk, [reject(1, "staged")])
    file.finish(3)
    assert [(line["row"], line["message"]) for line in reasons(folder / "bad.csv")] == [
        (1, "staged"),
        (2, "no"),
        (3, "first"),
    ]


def test_going_on(source, folder):
    """A load that goes on keeps the parts of chunks that are stored, and drops all others."""
    dest = str(folder / "bad.csv")
    file = RejectFile(dest, source, load_id="n")
    file.begin("n")
    chunks = source.chunks(3)
    for chunk in chunks:
        file.store(chunk, [reject(chunk.counts_from)])
    file.store_staged(chunks[0], [reject(2)])
    file.mark_committing()
    file.close()
    file = RejectFile(dest, source, load_id="n")
    file.go_on("n", {0: 1, 2: 1})
    file.store(chunks[1], [reject(chunks[1].counts_from + 1)])
    file.finish(3)
    assert [line["row"] for line in reasons(folder / "bad.csv")] == [
        1,
        chunks[1].counts_from + 1,
        chunks[2].counts_from,
    ]


@pytest.mark.parametrize("counts", [{0: 1}, {1: 1}, {0: 3, 1: 0}])
def test_going_on_without_the_parts(source, folder, counts):
    """Where records of a stored chunk are not here, the load cannot go on; the message says why."""
    dest = str(folder / "bad.csv")
    file = RejectFile(dest, source, load_id="n")
    file.begin("n")
    file.store(source.chunks(2)[0], [reject(1), reject(2)])
    file.close()
    file = RejectFile(dest, source, load_id="n")
    with pytest.raises(LedgerError, match=r"records? of chunk [12] are not in .*bad.csv.parts: .* another host"):
        file.go_on("n", counts)
    file.close()
    assert names(folder) == ["bad.csv.parts"]


def test_going_on_elsewhere(source, folder):
    """On another host a load goes on if none of its records was rejected yet, and else it does not."""
    file = RejectFile(str(folder / "bad.csv"), source, load_id="n")
    with pytest.raises(LedgerError, match="3 rejected records of chunk 2 are not in"):
        file.go_on("n", {0: 0, 1: 3})
    assert names(folder) == []
    file.go_on("n", {0: 0})
    store_all(file, source, [1])
    file.finish(1)
    assert names(folder) == ["bad.csv", "bad.csv.errors.jsonl"]


def test_another_run_finishes(source, folder):
    """Where a run was killed after its last COMMIT, the next one under its id puts the file together, once."""
    dest = str(folder / "bad.csv")
    file = RejectFile(dest, source, load_id="n")
    file.begin("n")
    store_all(file, source, [5, 70])
    file.close()
    for load_id, there in ((None, 1), ("m", 1), ("n", 2), ("n", 2)):
        again = RejectFile(dest, source, load_id="n")
        again.finish(2, load_id)
        assert len(names(folder)) == there
    assert [line["row"] for line in reasons(folder / "bad.csv")] == [5, 70]


def test_fewer_records_than_were_rejected(source, folder):
    """A file that would lack records is not made."""
    file = RejectFile(str(folder / "bad.csv"), source)
    file.begin(None)
    store_all(file, source, [5])
    with pytest.raises(FileError, match=r"bad.csv.parts: holds 1 row, and 2 were rejected"):
        file.finish(2)
    assert names(folder) == ["bad.csv.parts"]
    file.discard()


def test_a_load_that_begins_anew(source, folder):
    """Under its id a load replaces its own files, and takes them away if nothing is rejected any more."""
    dest = str(folder / "bad.csv")
    for rows, there in (([5, 70], 2), ([6], 2), ([], 0)):
        file = RejectFile(dest, source, load_id="n")
        file.begin("n")
        store_all(file, source, rows)
        file.finish(len(rows))
        assert len(names(folder)) == there
        assert not rows or [line["row"] for line in reasons(folder / "bad.csv")] == rows


def test_the_name_is_taken_meanwhile(source, folder):
    """A file that appears between the check and the beginning is never overwritten."""
    first, second = (RejectFile(str(folder / "bad.csv"), source) for _ in range(2))
    first.begin(None)
    with pytest.raises(FileError, match="another load keeps its rejected records there now"):
        second.begin(None)
    store_all(first, source, [1])
    first.finish(1)
    with pytest.raises(ConfigError, match="exists, and may hold records that nobody has loaded yet"):
        second.begin(None)
    assert names(folder) == ["bad.csv", "bad.csv.errors.jsonl"]


# --- Where disks and processes fail ---------------------------------------------------------------------------


def test_a_full_disk(tmp_path, folder):
    """A part that does not fit is an error; the one that was there before stays, and no other file."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" + b"".join(b"%d%s\n" % (i, b"x" * 1000) for i in range(200)))
    source = open_source(path, batch_rows=7, keeping=Keeping())
    file = RejectFile(str(folder / "bad.csv"), source)
    file.begin(None)
    [chunk] = source.chunks(1)
    file.store(chunk, [reject(1)])
    before = names(folder / "bad.csv.parts")
    with small_files(), pytest.raises(FileError, match=r"0\.sent: cannot be written: File too large"):
        file.store(chunk, [reject(row) for row in range(1, 200)])
    assert names(folder / "bad.csv.parts") == before
    file.store(chunk, [reject(row) for row in range(1, 200)])
    with small_files(), pytest.raises(FileError, match=r"bad.csv: cannot be written: File too large"):
        file.finish(199)
    assert names(folder) == ["bad.csv.parts"]
    file.finish(199)
    assert (folder / "bad.csv").read_bytes() == b"".join(path.read_bytes().splitlines(keepends=True)[:200])


def test_the_folder_is_gone(source, folder):
    """Whoever removes the folder meanwhile ends the load with an error."""
    file = RejectFile(str(folder / "bad.csv"), source)
    file.begin(None)
    (folder / "bad.csv.parts").rename(folder / "else")
    with pytest.raises(FileError, match=r"bad.csv.parts"):
        store_all(file, source, [1])
    with pytest.raises(FileError, match=r"bad.csv.parts"):
        file.mark_committing()
    with pytest.raises(FileError, match=r"bad.csv.parts"):
        file.finish(1)
    file.close()


def test_a_source_that_changes(source, folder):
    """Records are those that were read, or the load ends."""
    file = RejectFile(str(folder / "bad.csv"), source)
    file.begin(None)
    [chunk] = source.chunks(1)
    os.utime(source.paths[0], (1, 1))
    with pytest.raises(FileError, match="was changed or replaced"):
        file.store(chunk, [reject(1)])
    assert names(folder / "bad.csv.parts") == ["load.json"]
    file.discard()


def test_what_parquet_cannot_hold(tmp_path, folder):
    """Values that the file's format cannot hold are an error as they are stored, not behind the COMMIT."""
    with pa.ipc.new_file(tmp_path / "x.arrow", pa.schema([("t", pa.timestamp("s"))])) as writer:
        writer.write_table(pa.table({"t": pa.array([2**62], pa.timestamp("s"))}))
    source = open_source(tmp_path / "x.arrow", batch_rows=7, keeping=Keeping())
    file = RejectFile(str(folder / "bad.parquet"), source)
    file.begin(None)
    with pytest.raises(FileError, match=r"bad.parquet: cannot be written"):
        file.store(source.chunks(1)[0], [reject(1)])
    file.discard()


#: what a process does that is killed before the n-th call that changes the disk, for each n, in a process of its own
KILLED = """
import os, signal, sys
from pathlib import Path
from bulkio.files import Keeping, open_source
from bulkio.files.rejects import RejectFile
from bulkio.protocols import Reject
source = open_source(sys.argv[1], batch_rows=7, keeping=Keeping())
chunks = source.chunks(2)
def watch(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or (event == "open" and args[2] & os.O_CREAT):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
def load(folder):
    file = RejectFile(str(folder / "bad.csv"), source, load_id="n")
    sys.addaudithook(watch)
    file.begin("n")
    for chunk in chunks:
        file.store(chunk, [Reject(chunk.counts_from, "no")])
    print("committed", flush=True)
    file.finish(2)
for left in range(100):
    folder = Path(sys.argv[2], str(left))
    folder.mkdir()
    print(left, flush=True)
    child = os.fork()
    if child == 0:
        load(folder)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def clean_up(dest: Path, source: FileSource) -> None:
    """Begin and end a load that rejects nothing, beside the file: what is abandoned goes."""
    here = dest.rename(dest.parent / "kept"), Path(f"{dest}.errors.jsonl").rename(dest.parent / "kept too")
    file = RejectFile(str(dest), source)
    file.begin(None)
    file.finish(0)
    here[0].rename(dest)
    here[1].rename(f"{dest}.errors.jsonl")


def test_killed_anywhere(source, folder):
    """Wherever a process is killed: before its COMMIT the load begins anew, and after it, the file is made, whole."""
    rows = [chunk.counts_from for chunk in source.chunks(2)]
    expected = b"\xef\xbb\xbfa,b\r\n" + b"".join(b'%d,"x\r\n%d"\r\n' % (row, row) for row in rows)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, source.paths[0], str(folder)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
        text=True,
    )
    tries = re.findall(r"(\d+)\n(committed)?", done.stdout)
    assert 15 < len(tries) < 99
    assert 5 < len([number for number, committed in tries if committed]) < len(tries) - 5
    for number, committed in tries:
        dest = folder / number / "bad.csv"
        file = RejectFile(str(dest), source, load_id="n")
        if not committed:
            assert not dest.exists()
            file.begin("n")
            for chunk in source.chunks(2):
                file.store(chunk, [reject(chunk.counts_from)])
        file.finish(2, "n")
        assert dest.read_bytes() == expected
        assert [line["row"] for line in reasons(dest)] == rows
        clean_up(dest, source)
        assert names(dest.parent) == ["bad.csv", "bad.csv.errors.jsonl"]


def test_what_killed_processes_leave_is_removed(source, folder):
    """Folders that were being made or removed go with the next load's, but not those of living processes."""
    for name in (".bad.csv.parts-aaaaaaaa", ".bad.csv.parts-bbbbbbbb", "other"):
        (folder / name).mkdir()
        (folder / name / "load.json").touch()
        (folder / name / "0.sent").touch()
    (folder / ".bad.csv.parts-cccccccc").mkdir()
    with (folder / ".bad.csv.parts-bbbbbbbb" / "load.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in ([".bad.csv.parts-bbbbbbbb", "other"], ["other"]):
            file = RejectFile(str(folder / "bad.csv"), source)
            file.begin(None)
            file.finish(0)
            assert names(folder) == left
            fcntl.flock(lock, fcntl.LOCK_UN)


def test_a_committing_load_that_was_killed(source, folder):
    """Where nobody knows whether it committed, the next load is refused, and both files lie there to be taken."""
    dest = folder / "bad.csv"
    file = RejectFile(str(dest), source)
    file.begin(None)
    store_all(file, source, [1, 100])
    file.mark_committing()
    file.close()
    with pytest.raises(
        ConfigError, match=r"bad.csv.parts holds the records that .* ended as it committed: .* move bad.csv and"
    ):
        RejectFile(str(dest), source)
    parts = folder / "bad.csv.parts"
    assert (parts / "bad.csv").read_bytes() == b'\xef\xbb\xbfa,b\r\n1,"x\r\n1"\r\n100,"x\r\n100"\r\n'
    assert len((parts / "bad.csv.errors.jsonl").read_text().splitlines()) == 2


def test_folders_in_the_way(source, folder):
    """A dead load's folder goes if nothing of it can be stored; one that is not bulkio's, or may go on, stays."""
    dest = str(folder / "bad.csv")
    file = RejectFile(dest, source)
    file.begin(None)
    store_all(file, source, [1])
    file.close()
    file = RejectFile(dest, source, load_id="n")
    file.begin("n")  # what had no id is gone
    file.close()
    RejectFile(dest, source, load_id="m")
    file = RejectFile(dest, source)
    file.begin("made up")
    store_all(file, source, [2])
    file.close()
    with pytest.raises(ConfigError, match=r"parts holds records that load 'made up' has rejected, which may be"):
        RejectFile(dest, source, load_id="n")
    file = RejectFile(dest, source, load_id="made up")
    file.begin("made up", goes_on=False)  # and so nothing is stored before both files are there
    store_all(file, source, [2])
    file.close()
    RejectFile(dest, source)
    file.begin("made up", goes_on=False)
    store_all(file, source, [2])
    file.mark_committing()
    file.close()
    message = r"that load 'made up' has rejected, which was ended as it committed: `bulkio loads resume made up` puts"
    with pytest.raises(ConfigError, match=message):
        RejectFile(dest, source)
    (folder / "else.csv.parts").mkdir()
    with pytest.raises(ConfigError, match=r"else.csv.parts was not made by bulkio: move it away"):
        RejectFile(str(folder / "else.csv"), source)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp1252"])
def test_a_record_that_begins_with_a_mark(tmp_path, folder, encoding):
    """It is text within a file, and stays text where the record becomes the first one."""
    text = "x" if encoding == "cp1252" else "\ufeffx"
    (tmp_path / "x.csv").write_bytes(f"1\n{text}\n".encode(encoding))
    options = {"header_names": ("a",), "encoding": encoding}
    source = open_source(csv(tmp_path / "x.csv", **options), batch_rows=7, keeping=Keeping())
    file = RejectFile(str(folder / "bad.csv"), source)
    file.begin(None)
    file.store(source.chunks(1)[0], [reject(2)])
    file.finish(1)
    again = open_source(csv(folder / "bad.csv", **options), batch_rows=7)
    assert [row["a"] for batch in again.batches() for row in batch.to_pylist()] == [text]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(data=st.data())
def test_loading_the_file_again(tmp_path, data):
    """Whatever is rejected, of whatever files, the file gives these rows again under the same options."""
    here = tmp_path / str(len(names(tmp_path)))
    here.mkdir()
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    rows, paths = [], []
    for name in "xy":
        end = data.draw(st.sampled_from(["\n", "\r\n"]))
        lines = data.draw(st.lists(st.sampled_from(["1,2", '"x\ny",', ',""', "é,z"]), max_size=8))
        paths.append(str(here / f"{name}.csv"))
        Path(paths[-1]).write_bytes(("skip" + end + "a,b" + "".join(end + line for line in lines)).encode(encoding))
        rows += lines
    options = {"encoding": encoding, "skip_lines": 1}
    source = open_source(csv(paths, **options), batch_rows=3, keeping=Keeping())
    rejected = sorted(data.draw(st.sets(st.integers(1, len(rows))))) if rows else []
    file = RejectFile(str(here / "bad.csv"), source)
    file.begin(None)
    [chunk] = source.chunks(1) or [None]
    if chunk is not None:
        file.store(chunk, [reject(row) for row in rejected])
    file.finish(len(rejected))
    if rejected:
        again = open_source(csv(here / "bad.csv", **options), batch_rows=100)
        everything = [row for batch in source.batches() for row in batch.to_pylist()]
        assert [row for batch in again.batches() for row in batch.to_pylist()] == [
            everything[row - 1] for row in rejected
        ]
