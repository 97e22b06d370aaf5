"""URLs are refused with what to do instead."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bulkio.errors import ConfigError
from bulkio.files import file_dest, open_sink, open_source


@pytest.mark.parametrize(
    ("url", "step"),
    [
        ("s3://bucket/a.parquet", r"copy it here first \(aws s3 cp …\), then load the file"),
        ("https://example.com/a.parquet", r"copy it here first \(curl -O …\), then load the file"),
        ("abfs://x/a.parquet", "copy it here first, then load the file"),
        ("file:///tmp/a.parquet", "name the file by its path"),
    ],
)
def test_a_url_as_source(url: str, step: str) -> None:
    """The message names what fetches it."""
    with pytest.raises(ConfigError, match=f"only files of this machine can be read and written, not URLs: {step}$"):
        open_source(url, batch_rows=10)


def test_a_url_as_destination() -> None:
    """An export is written here, and copied from here."""
    with pytest.raises(ConfigError, match=r"not URLs: export into a file here, and copy that there$"):
        open_sink("s3://bucket/a.parquet", pa.schema([("a", pa.int64())]))


@pytest.mark.parametrize("text", ["postgresql://u:secret@h/d", "host=h password=secret", "dbname=d user=u"])
def test_a_connection_string_is_not_shown(text: str) -> None:
    """Where a file's name is expected it is refused, and its password stays unsaid."""
    with pytest.raises(ConfigError, match="connection string") as error:
        file_dest(text)
    assert "secret" not in str(error.value)
