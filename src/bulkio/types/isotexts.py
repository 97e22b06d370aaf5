"""Casts for texts that are spelled as PostgreSQL prints them, which a CSV's are: such columns travel in binary.

Of other sources' strings nobody knows how their dates are written, so these are left to the server, which makes the
whole load travel as text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio.types.pgtypes import SERVER_TEXT

if TYPE_CHECKING:
    from bulkio.types.casts import Cast

__all__ = ["ISO_CODECS", "with_iso_texts"]

#: encoders of texts, by the codec of the PostgreSQL type
ISO_CODECS = {
    "bool": "text_to_bool",
    "date": "iso_to_date",
    "time": "iso_to_time",
    "timestamp": "iso_to_timestamp",
    "timestamptz": "iso_to_timestamptz",
}


def with_iso_texts(how: Cast) -> Cast:
    """Return a column's cast, with bulkio's own parser in the server's place where the text is to be ISO's."""
    if how.codec == "dictionary":
        return replace(how, children=tuple(map(with_iso_texts, how.children)))
    if how.codec == SERVER_TEXT and how.pg.codec in ISO_CODECS:
        return replace(how, codec=ISO_CODECS[how.pg.codec], children=())
    return how
