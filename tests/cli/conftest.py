"""Fixtures: the real program on a database of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg


@pytest.fixture
def bulkio(one_dsn: str) -> Iterator[Program]:
    """Yield the program, on a database of the test's own."""
    program = Program(one_dsn)
    yield program
    program.close()


@pytest.fixture
def bulkio_alone() -> Iterator[Program]:
    """Yield the program without any database."""
    program = Program(None)
    yield program
    program.close()


@pytest.fixture
def db(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> psycopg.Connection:
    """Return a connection to the test's database."""
    return connect(one_dsn)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Make a small Parquet file."""
    path = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"id": pa.array(range(1, 1001), pa.int64()), "note": [f"n{i}" for i in range(1000)]}), path)
    return path
