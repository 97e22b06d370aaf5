"""Servers and a source for the faults."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import fault_scene
import pytest

import servers
from servers import TestServer, found_servers

if TYPE_CHECKING:
    from collections.abc import Iterator


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
