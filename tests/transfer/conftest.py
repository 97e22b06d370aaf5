"""What several tests of loads and exports need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers import TestServer


@pytest.fixture
def roles(server: TestServer) -> tuple[str, str]:
    """Make two roles, which go with all that they own or were granted in the databases of this test."""
    names = (f"One of {server.id}", f"two_of_{server.id}")
    for name in names:
        server.admin.execute(f'DROP ROLE IF EXISTS "{name}"; CREATE ROLE "{name}"')
    return names
