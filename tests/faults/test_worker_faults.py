"""The faults that two workers meet, with both kinds of commit; after each the same load comes to the expected rows.

CI runs a part: each fault with some of the modes, where those go round. `make faults` runs all combinations.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from fault_scene import meet_and_load_again
from worker_faults import COLUMNS, WORKER_FAULTS, fits

from servers import TestServer, found_servers

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS = ("asyncpg", "psycopg")
SERVERS = tuple(found_servers())
#: one of so many modes, in CI, for each fault
THINNED = 5


def combinations() -> list[tuple[str, str, str, str, str]]:
    """Return (fault, mode, commit, driver, server): all of them, or some, in which drivers and servers go round."""
    fitting = [(fault, *column) for fault, column in itertools.product(WORKER_FAULTS, COLUMNS) if fits(fault, *column)]
    if os.environ.get("FAULTS") == "all":
        return [(*each, driver, server) for each, driver, server in itertools.product(fitting, DRIVERS, SERVERS)]
    rows = {fault: row for row, fault in enumerate(WORKER_FAULTS)}
    chosen = []
    for fault, mode, commit in fitting:
        place = rows[fault] + COLUMNS.index((mode, commit))
        if fault.startswith("two phases") or place % THINNED == 0:
            server, driver = divmod(place // THINNED + rows[fault], len(DRIVERS))
            chosen.append((fault, mode, commit, DRIVERS[driver], SERVERS[server % len(SERVERS)]))
    return chosen


@pytest.mark.parametrize(("fault", "mode", "commit", "driver", "server_id"), combinations())
def test_the_second_run_comes_to_the_expected_rows(
    fault: str, mode: str, commit: str, driver: str, server_id: str, clusters: dict[str, TestServer], source: Path
) -> None:
    """Whatever the first one has left: rows are there once, and all of them."""
    meet_and_load_again(
        WORKER_FAULTS[fault], clusters[server_id], source, driver, mode, commit, is_disk_small=fault == "disk full"
    )
