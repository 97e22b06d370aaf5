"""The memory that batches take."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bulkio.forms.sizes import batch_bytes


@pytest.mark.parametrize("arrow", [pa.string(), pa.string_view(), pa.binary_view()], ids=str)
def test_every_layout_of_strings_has_a_size(arrow: pa.DataType) -> None:
    """A batch of long strings takes at least their bytes; pyarrow before 26 refuses to say so of views."""
    batch = pa.record_batch([pa.array(["x" * 100, None, "y"], arrow)], ["c"])
    assert 101 <= batch_bytes(batch) < 1000
