"""One database for each server, and how many random tables the long run makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from matrix_check import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    import servers

#: what `make random-tables` asks for: on two servers, in eight parts each, 5,000 tables
settings.register_profile("random-tables", max_examples=313)


@pytest.fixture(scope="session")
def _places(_fleet: servers.Fleet) -> Iterator[dict[str, Place]]:
    """Hold the databases, by server."""
    places: dict[str, Place] = {}
    yield places
    for place in places.values():
        place.close()


@pytest.fixture
def place(server: servers.TestServer, _places: dict[str, Place]) -> Place:
    """Return one database on each server, for all the tests of this folder."""
    if server.id not in _places:
        _places[server.id] = Place(server)
        _places[server.id].create_extensions()
    return _places[server.id]
