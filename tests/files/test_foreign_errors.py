"""No exception of pyarrow passes `bulkio.files`: each class that it has is mapped, the next release's too."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bulkio.errors import FileError
from bulkio.files import open_source
from bulkio.files.faults import reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterator


def exception_classes() -> dict[str, type[BaseException]]:
    """Find every exception class that pyarrow's modules define."""
    found: dict[str, type[BaseException]] = {}
    for info in pkgutil.iter_modules(pa.__path__, "pyarrow."):
        if info.name in ("pyarrow.tests", "pyarrow.conftest", "pyarrow.interchange", "pyarrow.vendored"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:  # not part of this build, or pandas
            continue
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__.startswith("pyarrow"):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


CLASSES = exception_classes()


def test_the_classes_were_found() -> None:
    """The list has what pyarrow raises most."""
    assert {pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError, pa.ArrowCancelled} <= {*CLASSES.values()}


@pytest.mark.parametrize("name", CLASSES)
def test_each_is_mapped(name: str) -> None:
    """A class becomes FileError, with its words, whether it comes from reading or from writing."""
    error = CLASSES[name].__new__(CLASSES[name], "words of pyarrow")
    for block in (reading, writing):
        with pytest.raises(FileError, match="words of pyarrow"), block("a.parquet"):
            raise error


@pytest.mark.parametrize("kind", [OSError, PermissionError, UnicodeDecodeError, MemoryError, OverflowError, ValueError])
def test_what_else_pyarrow_raises_is_mapped(kind: type[Exception]) -> None:
    """So do Python's own classes that pyarrow raises for what a file holds."""
    error = kind("utf-8", b"a", 0, 1, "words") if kind is UnicodeDecodeError else kind("words")
    with pytest.raises(FileError, match="words"), reading("a.parquet"):
        raise error


@pytest.mark.parametrize("kind", sorted({*CLASSES.values()}, key=str))
def test_a_source_that_raises_it(kind: type[Exception]) -> None:
    """What a user's own stream raises of pyarrow's comes out as FileError, too."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1]})
        raise kind.__new__(kind, "words of pyarrow")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches())
    source = open_source(reader, batch_rows=10)
    with pytest.raises(FileError, match="words of pyarrow"):
        list(source.batches())
    source.close()
