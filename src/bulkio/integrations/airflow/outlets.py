"""What the assets that a task updates are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Asset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.sdk import Context

__all__ = ["tell_outlets"]


def tell_outlets(context: Context, outlets: Iterable[object], facts: Mapping[str, object]) -> None:
    """Put facts, such as the row count, into the event of each asset."""
    for asset in outlets:
        if isinstance(asset, Asset):
            context["outlet_events"][asset].extra.update(facts)
