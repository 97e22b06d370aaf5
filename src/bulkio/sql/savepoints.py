"""Savepoints: what undoes a part of a transaction."""

from __future__ import annotations

__all__ = ["CHECK_CONSTRAINTS", "release", "roll_back_to", "savepoint", "take_back"]

#: Check now what is deferred, and from now on each statement's share at its end.
CHECK_CONSTRAINTS = "SET CONSTRAINTS ALL IMMEDIATE"


def savepoint(name: str) -> str:
    """Build SAVEPOINT."""
    return f"SAVEPOINT {name}"


def roll_back_to(name: str) -> str:
    """Build what undoes all since a savepoint, its settings too, and keeps it."""
    return f"ROLLBACK TO SAVEPOINT {name}"


def release(name: str) -> str:
    """Build RELEASE SAVEPOINT."""
    return f"RELEASE SAVEPOINT {name}"


def take_back(name: str) -> str:
    """Build what undoes all since a savepoint, and the savepoint."""
    return f"{roll_back_to(name)}; {release(name)}"
