"""Which class carries out a node of a `Cast`. A new type family adds its module's tables here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.pgcopy import (
    bits,
    composites,
    enums,
    floattext,
    geometry,
    hstore,
    intervals,
    inttext,
    isotext,
    jsonbtext,
    literals,
    money,
    nested,
    network,
    numeric,
    numerictext,
    points,
    ranges,
    scalars,
    servertext,
    strings,
    temporal,
    timetz,
    vectors,
)

if TYPE_CHECKING:
    from bulkio.types import Cast

MODULES = (
    scalars,
    inttext,
    isotext,
    floattext,
    numeric,
    numerictext,
    money,
    strings,
    jsonbtext,
    literals,
    servertext,
    bits,
    network,
    temporal,
    timetz,
    intervals,
    points,
    nested,
    composites,
    ranges,
    enums,
    hstore,
    vectors,
    geometry,
)

ENCODERS = {name: cls for module in MODULES for name, cls in module.ENCODERS.items()}
DECODERS = {name: cls for module in MODULES for name, cls in module.DECODERS.items()}


def build_encoder(cast: Cast) -> object:
    """Make the tree of encoders for one column."""
    return ENCODERS[cast.codec](cast, [build_encoder(child) for child in cast.children])


def build_decoder(cast: Cast) -> object:
    """Make the tree of decoders for one column."""
    return DECODERS[cast.codec](cast, [build_decoder(child) for child in cast.children])
