"""Fixtures: pipelines with a schedule in a folder of the test's own, and the database that they fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg


@pytest.fixture
def db(one_dsn: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to a database with the empty table t."""
    with connect(one_dsn) as connection:
        connection.execute("CREATE TABLE t (pipeline text, run text)")
        yield connection


@pytest.fixture
def write(tmp_path: Path, one_dsn: str) -> object:
    """Return a function that writes a pipeline: its step stores its names in t."""

    def write_pipeline(
        name: str = "p",
        cron: str = "* * * * *",
        catch_up: str = "latest",
        sql: str = "insert into t values ($pipeline, $run)",
    ) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f'name = "{name}"\nconnection = "{one_dsn}"\n[schedule]\ncron = "{cron}"\ncatch_up = "{catch_up}"\n'
            f'[[step]]\nid = "store"\nsql = "{sql}"\n'
        )
        return path

    return write_pipeline
