"""Savepoints: what undoes a part of a transaction."""

from __future__ import annotations

__all__ = ["release", "roll_back_to", "savepoint", "take_back"]


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
