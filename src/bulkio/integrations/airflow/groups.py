"""Groups of files for mapped tasks."""

from __future__ import annotations

import glob
from collections.abc import Sequence  # noqa: TC003 - Airflow reads the annotations of what @task decorates

from bulkio.errors import ConfigError

__all__ = ["group_files"]


def group_files(pattern: str | Sequence[str], *, files_per_group: int = 1) -> list[list[str]]:
    """Return the files of a glob pattern (or of several) in groups, for `expand(source=…)`: a mapped task for each.

    The files are sorted by name, so that new ones with later names leave the groups before them as they were: a task's
    load id has its index, and the ledger refuses another file under it.

    >>> group_files([]), group_files("no/such/*.parquet")
    ([], [])

    Raises:
        ConfigError: files_per_group is less than 1.
    """
    if files_per_group < 1:
        raise ConfigError(f"files_per_group is {files_per_group}, and must be 1 or more")
    patterns = [pattern] if isinstance(pattern, str) else pattern
    paths = sorted({path for each in patterns for path in glob.glob(each, recursive=True)})  # noqa: PTH207 - a text
    return [paths[first : first + files_per_group] for first in range(0, len(paths), files_per_group)]
