"""What a newcomer tried: values that another tool would have stored otherwise than they were given."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pandas as pd
import polars as pl
import pytest

import bulkio
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path


def test_decimal_commas_in_money(dsn: str, tmp_path: Path) -> None:
    """The server drops a comma, so 1,50 would be 150: refused, or read as what the option says."""
    (tmp_path / "m.csv").write_text('v\n"1,50"\n')
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE m (v money)")
    with pytest.raises(bulkio.EncodeError, match="row 1"):
        bulkio.load(str(tmp_path / "m.csv"), "m", dsn)
    bulkio.load(bulkio.csv(str(tmp_path / "m.csv"), decimal_comma=True), "m", dsn)
    (tmp_path / "m.csv").write_text('v\n"1,234.50"\n')
    bulkio.load(str(tmp_path / "m.csv"), "m", dsn)
    assert fetch(dsn, "SELECT v::numeric::text FROM m ORDER BY v") == [("1.50",), ("1234.50",)]


def test_a_text_in_place_of_a_number_is_quoted_once(dsn: str, tmp_path: Path) -> None:
    """With a decimal comma, too, though the text was looked at for one."""
    (tmp_path / "m.csv").write_text("v\nten\n")
    file = bulkio.csv(str(tmp_path / "m.csv"), decimal_comma=True)
    with pytest.raises(bulkio.EncodeError, match=r"column \"v\": 'ten' is not a valid numeric\(5,2\)$"):
        bulkio.load(file, "m", dsn, types={"v": "numeric(5,2)"})


def test_a_named_index_that_is_no_column(one_dsn: str) -> None:
    """Pandas keeps evenly spaced keys out of the columns; unnamed ones count rows only."""
    frame = pd.DataFrame({"k": [10, 20, 30], "v": [1, 2, 3]})
    with pytest.raises(bulkio.SchemaError, match="reset_index"):
        bulkio.load(frame.set_index(pd.RangeIndex(10, 40, 10, name="k"))[["v"]], "t", one_dsn)
    assert bulkio.load(frame, "t", one_dsn).rows == 3


def test_polars_objects(one_dsn: str) -> None:
    """Their Arrow form is an address."""
    frame = pl.DataFrame({"u": pl.Series([uuid.UUID(int=1)], dtype=pl.Object)})
    with pytest.raises(bulkio.SchemaError, match='"u" holds Python objects'):
        bulkio.load(frame, "t", one_dsn)


def test_a_lazy_frame(one_dsn: str) -> None:
    """An error of bulkio's, not of the frame's."""
    with pytest.raises(bulkio.ConfigError, match="LazyFrame"):
        bulkio.load(pl.LazyFrame({"a": [1]}), "t", one_dsn)


@pytest.mark.parametrize("params", [{"b": "x"}, {"x"}])
def test_parameters_without_order(one_dsn: str, params: object) -> None:
    """A mapping's keys, or a set's items, are not the values of $1, $2."""
    with pytest.raises(bulkio.ConfigError, match="no order"):
        bulkio.read("select $1::text", one_dsn, params=params)


def test_dir_and_str(one_dsn: str) -> None:
    """TAB shows what is public; a plan prints itself."""
    assert {"load", "read", "export", "csv", "aio", "errors"} <= set(dir(bulkio))
    plan = bulkio.plan_load(pl.DataFrame({"a": [1]}), "t", one_dsn)
    assert str(plan) == plan.describe()
