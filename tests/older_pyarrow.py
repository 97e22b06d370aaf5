"""Older pyarrows, in tests: what they lack and the tests spell is what comes nearest to it there.

A pyarrow before 19 has no narrow decimals at all, so that nobody can hand them to bulkio: the tests make wide ones. For
JSON bulkio brings a type of its own.
"""

from __future__ import annotations

import pyarrow as pa

from bulkio.types.arrow_json import json_type
from gaps import lacking

__all__ = ["NULL_LISTS", "VIEWS_IN_EXTENSIONS", "halves", "needs_pyarrow"]

if not hasattr(pa, "json_"):
    pa.json_ = json_type
    pa.decimal32 = pa.decimal64 = pa.decimal128

RELEASE = int(pa.__version__.split(".")[0])
#: whether extension types over string views can be handed over: before 20 the sizes of their buffers stay behind, and
#: bulkio refuses them as damaged (docs/support.md)
VIEWS_IN_EXTENSIONS = RELEASE >= 20
#: what pyarrow does since 26
NULL_LISTS = "keeps NULLs among fixed-size lists in Parquet"


def needs_pyarrow(release: int, what: str) -> None:
    """Skip this test where pyarrow is older than the first release that can do `what`: docs/support.md has the list."""
    if release > RELEASE:
        lacking(f"pyarrow {release}, which {what}")


def _takes_floats() -> bool:
    """Tell whether pyarrow makes float16 of Python's numbers; an older one wants NumPy's."""
    try:
        pa.array([1.0], pa.float16())
    except pa.ArrowTypeError:
        return False
    return True


_TAKES_FLOATS = _takes_floats()


def halves(values: list[object], arrow: pa.DataType) -> pa.Array:
    """Return an array of Python's values, whose numbers may go into float16 at any depth."""
    takes = _TAKES_FLOATS or "halffloat" not in str(arrow)
    return pa.array(values if takes else _of_numpy(values), arrow)


def _of_numpy(value: object) -> object:
    import numpy as np

    if isinstance(value, list):
        return [_of_numpy(each) for each in value]
    return np.float16(value) if isinstance(value, float) else value
