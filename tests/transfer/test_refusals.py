"""Which errors are about rows."""

from __future__ import annotations

import doctest

import pytest

from bulkio.errors import ConnectError, DriverError
from bulkio.transfer import refusals
from bulkio.transfer.refusals import is_about_rows


def test_examples_run() -> None:
    """The docstring's examples give what they say."""
    assert doctest.testmod(refusals).failed == 0


@pytest.mark.parametrize(
    "sqlstate",
    [
        "21000",  # a row is updated twice, or a trigger's subquery gives two rows
        "22003",  # a value is out of range
        "23502",  # NOT NULL
        "23503",  # a foreign key
        "23505",  # a unique key
        "23514",  # a check, or no partition for the row
        "23P01",  # an exclusion constraint
        "44000",  # WITH CHECK OPTION
        "54000",  # too long for an index
        "P0001",  # RAISE in a trigger
        "ZZ123",  # RAISE with a code of the user's own
    ],
)
def test_values_and_triggers_are_about_rows(sqlstate: str) -> None:
    """Whatever a row may be refused for, a trigger's own codes among it."""
    assert is_about_rows(DriverError("no", sqlstate=sqlstate))


@pytest.mark.parametrize(
    "sqlstate",
    ["0A000", "25P02", "40001", "40P01", "42P10", "42501", "53100", "55P03", "57014", "58030", "72000", "XX000", None],
)
def test_the_rest_is_not(sqlstate: str | None) -> None:
    """A deadlock, a full disk, a missing right or a cancellation would refuse any row."""
    assert not is_about_rows(DriverError("no", sqlstate=sqlstate))


def test_a_lost_connection_is_not() -> None:
    """Whatever code it ends with."""
    assert not is_about_rows(ConnectError("gone", sqlstate="23505"))


def test_a_policy_refuses_rows() -> None:
    """It has the code of a missing right, and words of its own."""
    message = 'new row violates row-level security policy for table "t"'
    assert is_about_rows(DriverError(message, sqlstate="42501"))
    assert not is_about_rows(DriverError("permission denied for table t", sqlstate="42501"))
