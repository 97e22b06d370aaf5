"""Ten thousand inputs of the CSV comparison in every run, on every server at once; more by hand (see fuzz_csv.py)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

import servers
from bulkio.files.formats.csv.options import CsvOptions
from fuzz import fuzz_csv
from fuzz.fuzz_csv import Input, Oracle, draw, fuzz, outcome, read

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def everywhere(_fleet: servers.Fleet, connect: Callable) -> dict:
    """Return a connection to each server found."""
    return {name: connect(_fleet.get(name).cluster.url()) for name in servers.found_servers()}


def test_csv_is_read_as_the_servers_read_it(everywhere):
    """Of 10,000 damaged CSVs each gives the servers' rows or is refused, and all outcomes are met."""
    for result in fuzz(everywhere, 10_000, seed=8).values():
        assert set(result.outcomes) == {"same rows", "refused by both", "refused by bulkio alone"}
        assert result.outcomes["same rows"] > 3000
        assert result.outcomes["refused by bulkio alone"] < 1000
        assert result.rows > 6000


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (CsvOptions(header_names=("c1",), null="1"), CsvOptions(header_names=("c1",)), "OTHER ROWS"),
        (
            CsvOptions(header_names=("c1",), delimiter=";"),
            CsvOptions(header_names=("c1",)),
            "refused by the server alone",
        ),
        (CsvOptions(header_names=("c1",)), CsvOptions(header_names=("c1",), delimiter=";"), "refused by bulkio alone"),
        (CsvOptions(header_names=("c1",)), CsvOptions(header_names=("c1",)), "same rows"),
    ],
)
def test_the_comparison_notices(everywhere, ours, theirs, found):
    """The target itself tells other rows, and rows that the server does not have, from the same."""
    data = b"1,2\n" if found.startswith("refused") else b"1\n"
    rows = read(Input(ours, data), step=9, batch_rows=9)
    for connection in everywhere.values():
        assert outcome(rows, Oracle(connection).read([Input(theirs, data)])[0]) == found


def test_the_seed_decides_everything():
    """The same seed gives the same inputs, so that a failure can be run again."""
    drawn = [[draw(rng) for _ in range(200)] for rng in (random.Random(7), random.Random(7))]  # noqa: S311
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 150
    assert {item.width for item in drawn[0]} == set(fuzz_csv.WIDTHS)
