"""How much memory batches take."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["batch_bytes"]


def batch_bytes(batch: pa.RecordBatch) -> int:
    """Return the bytes that the rows of a batch take.

    pyarrow before 26 cannot tell that of a slice with views: there it is what the batch's buffers take as a whole.
    """
    try:
        return int(batch.nbytes)
    except pa.ArrowTypeError:
        return int(batch.get_total_buffer_size())
