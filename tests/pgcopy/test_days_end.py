"""24:00:00, a time that PostgreSQL has and Arrow has not."""

from __future__ import annotations

import struct
from dataclasses import replace

import pyarrow as pa
import pytest

from bulkio.errors import DecodeError
from bulkio.types import Policies, base_type, cast_from_pg, cast_to_pg
from cells import decode, encode


def test_the_end_of_the_day_and_its_sentinel() -> None:
    """24:00 goes as the last time that Arrow has, and comes back; that time itself is then an error."""
    sentinel = replace(cast_from_pg(base_type("time")), policies=Policies(infinity="sentinel"))
    end, last = struct.pack(">q", 86_400_000_000), struct.pack(">q", 86_399_999_999)
    array = decode([end], sentinel)
    array.validate(full=True)
    assert array.cast(pa.int64()).to_pylist() == [86_399_999_999]
    for pg in (base_type("time"), base_type("time", 3)):
        back = cast_to_pg(array.type, pg, Policies(infinity="sentinel"))
        assert encode(array, back) == [end]
    with pytest.raises(DecodeError, match="outside what Arrow"):
        decode([last], sentinel)
    assert encode(decode([last], base_type("time")), base_type("time")) == [last]
