"""The shape of a source, as the request asks for it: which columns, under which names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.files.shape import LoadFacts, ShapedSource
from bulkio.options.templates import read_template

if TYPE_CHECKING:
    from bulkio.options import LoadRequest
    from bulkio.protocols import Session, Source

__all__ = ["shaped"]


async def shaped(session: Session, source: Source, request: LoadRequest) -> Source:
    """Return the source with its columns renamed and added; as it is where nobody asks for that.

    Raises as `ShapedSource` does.
    """
    rename, add = request.rename or {}, request.add or {}
    if not (rename or add):
        return source
    now_us = 0
    if any("now" in read_template(text).names for text in add.values()):
        [(now,)] = await session.fetch(sql.NOW_US)
        now_us = int(str(now))
    return ShapedSource(source, rename=rename, add=add, facts=LoadFacts(now_us, request.load_id))
