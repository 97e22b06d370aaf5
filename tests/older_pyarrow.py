"""pyarrow before 19, in tests: what it lacks and the tests spell is what comes nearest to it there.

Such a pyarrow has no narrow decimals at all, so that nobody can hand them to bulkio: the tests make wide ones. For JSON
bulkio brings a type of its own.
"""

from __future__ import annotations

import pyarrow as pa

from bulkio.types.arrow_json import json_type

if not hasattr(pa, "json_"):
    pa.json_ = json_type
    pa.decimal32 = pa.decimal64 = pa.decimal128
