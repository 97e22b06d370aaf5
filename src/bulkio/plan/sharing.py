"""How several connections share a load: in two phases, or chunk by chunk; or not at all. Pure; `workers` decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ONE", "Sharing"]


@dataclass(frozen=True, slots=True)
class Sharing:
    """How connections share a load, and how their rows are committed."""

    #: one: in one transaction; two-phase: a transaction for each worker, prepared, and then committed by a recorded
    #: decision; chunks: a transaction for each chunk, with its row in the ledger
    kind: Literal["one", "two-phase", "chunks"] = "one"
    workers: int = 1
    #: reason why one connection does it, although more were asked for; "" if not
    why_one: str = ""

    #: True if the chunks fill another table than the load's, and one transaction at the end shows all of them
    is_hidden: bool = False

    @property
    def visibility(self) -> str:
        """What readers may see before the load is done; "" for nothing."""
        if self.kind == "two-phase":
            return (
                "between two COMMIT PREPARED readers may see the rows of some connections and not yet those of others"
            )
        if self.kind == "chunks" and not self.is_hidden:
            return "readers see the rows of each chunk as soon as it is stored"
        return ""

    def describe(self) -> str:
        """Return it for people."""
        connections = "one connection" if self.workers == 1 else f"{self.workers} connections"
        if self.kind == "one":
            why = f", and not on more: {self.why_one}" if self.why_one else ""
            return f"in one transaction on one connection: all rows or none{why}"
        if self.kind == "two-phase":
            return f"in two phases on {connections}: all rows or none; {self.visibility}"
        if self.is_hidden:
            return (
                f"chunk by chunk on {connections}, where nobody looks; a transaction at the end shows all rows or none"
            )
        return f"chunk by chunk on {connections}: {self.visibility}"


ONE = Sharing()
