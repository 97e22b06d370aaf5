"""What the assets that a task updates are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Asset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Context

    import bulkio

__all__ = ["tell_outlets"]


def tell_outlets(context: Context, outlets: Iterable[object], report: bulkio.LoadReport | bulkio.ExportReport) -> None:
    """Put the row count, and the table it is about, into the event of each asset."""
    for asset in outlets:
        if isinstance(asset, Asset):
            context["outlet_events"][asset].extra.update({"rows": report.rows, "table": report.table})
