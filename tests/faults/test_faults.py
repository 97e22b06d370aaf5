"""After each fault the same load, run again under the same id, comes to the expected rows; and nothing is left behind.

CI runs pairs: each fault meets each mode, driver and server, and so do these each other. `make faults` runs all
combinations.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import fault_scene
import pytest
from fault_scene import EXPECTED, FAULTS, MODES, Scene, stored

import servers
from gaps import lacking
from servers import TestServer, found_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVERS = ("asyncpg", "psycopg")
SERVERS = tuple(found_servers())
#: megabytes that hold an empty database and the table's first rows
SMALL_MB = 9


def combinations() -> list[tuple[str, str, str, str]]:
    """Return (fault, mode, driver, server): all of them, or each fault with each mode on one driver and server.

    Those go round as on a chess board, so that each pair of any two is there as well.
    """
    if os.environ.get("FAULTS") == "all":
        return list(itertools.product(FAULTS, MODES, DRIVERS, SERVERS))
    chosen = []
    for (row, fault), (column, mode) in itertools.product(enumerate(FAULTS), enumerate(MODES)):
        server, driver = divmod(row + column, len(DRIVERS))
        chosen.append((fault, mode, DRIVERS[driver], SERVERS[server % len(SERVERS)]))
    return chosen


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[str, TestServer]]:
    """Yield throw-away servers, whose commits outlive them."""
    root = Path(tempfile.mkdtemp(prefix=f"bulkio-test-{os.getpid()}-", dir="/tmp"))
    root.chmod(0o711)
    found = {}
    for name, folder in found_servers().items():
        cluster = fault_scene.durable(servers.make_cluster(folder, root / name))
        cluster.start()
        found[name] = TestServer(name, cluster)
    yield found
    for server in found.values():
        server.close()
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the file to load."""
    folder = tmp_path_factory.mktemp("faults")
    fault_scene.write_source(folder / "rows.parquet")
    return folder


@pytest.mark.parametrize(("fault", "mode", "driver", "server_id"), combinations())
def test_the_second_run_comes_to_the_expected_rows(
    fault: str, mode: str, driver: str, server_id: str, clusters: dict[str, TestServer], source: Path
) -> None:
    """Whatever the first one has left: rows are there once, and all of them."""
    server = clusters[server_id]
    with ExitStack() as stack:
        over = []
        space = None
        if fault == "disk full":
            small = stack.enter_context(fault_scene.small_disk(server.cluster, SMALL_MB))
            if small is None:
                lacking("a small file system of the test's own")
            space, grow = small
            over = [grow]
        name = f"f{zlib.crc32(repr((fault, mode, driver)).encode())}"
        with servers.connect(server.cluster.url()) as admin:
            admin.execute(
                f"CREATE DATABASE {name} TEMPLATE template0"
                + (f" TABLESPACE {space} STRATEGY file_copy" if space else "")
            )
        try:
            scene = Scene(server.cluster, server.cluster.url(name), source, driver, mode, over)
            scene.prepare()
            before = None if mode == "create" else stored(scene.dsn)
            FAULTS[fault](scene)
            if not fault.startswith("COMMIT"):
                assert before is None or stored(scene.dsn) == before
            report = scene.load()
            assert stored(scene.dsn) == EXPECTED[mode]
            assert report.load_id == "night"
            assert scene.load().already
            scene.check_nothing_is_left()
            assert stored(scene.dsn) == EXPECTED[mode]
        finally:
            server.cluster.start()
            with servers.connect(server.cluster.url()) as admin:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
