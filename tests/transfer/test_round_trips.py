"""What a small load or read costs: the round trips to the server, which distance makes slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.drivers.asyncpg import AsyncpgSession
from bulkio.drivers.psycopg import PsycopgSession
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.protocols import Session

SESSIONS: dict[str, type[Session]] = {"asyncpg": AsyncpgSession, "psycopg": PsycopgSession}


@pytest.mark.parametrize("driver", SESSIONS)
def test_how_many_statements_a_small_piece_of_work_has(
    one_dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is counted beside COPY itself; who adds one says here why."""
    sent: list[str] = []

    def counting(method: Callable[..., object]) -> Callable[..., object]:
        def run(session: Session, text: str) -> object:
            sent.append(text)
            return method(session, text)

        return run

    for name in ("execute", "fetch", "describe"):
        monkeypatch.setattr(SESSIONS[driver], name, counting(getattr(SESSIONS[driver], name)))
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (a bigint)")

    def count(work: Callable[[], object]) -> int:
        sent.clear()
        work()
        return len(sent)

    assert count(lambda: bulkio.load(pa.table({"a": [1]}), "t", one_dsn, driver=driver)) <= 16
    assert count(lambda: bulkio.read("t", one_dsn, driver=driver).read_all()) <= 15
    assert count(lambda: bulkio.read("SELECT 1 AS a", one_dsn, driver=driver).read_all()) <= 8
