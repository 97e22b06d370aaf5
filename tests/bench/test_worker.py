"""The process of one run."""

from __future__ import annotations

import subprocess
import sys


def test_a_limit_loads_no_library_of_the_candidates() -> None:
    """A limit's memory is a driver's alone: a worker brings Arrow only once a candidate needs it."""
    script = "import sys, bulkio.bench.worker; print([m for m in ('pyarrow', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
