"""Which class carries out a node of a `Cast`. A new type family adds its module here, and the tables stand in that."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.types import Cast

    #: a class of the codec; it takes a node and the objects of the nodes below
    Coder = Callable[[Cast, list[object]], object]

# By name: compiled modules show no types, and each would need a stub with nothing but its two tables in it.
FAMILIES = (
    "scalars",
    "inttext",
    "isotext",
    "floattext",
    "numeric",
    "numerictext",
    "money",
    "strings",
    "jsonbtext",
    "literals",
    "servertext",
    "bits",
    "network",
    "temporal",
    "timetz",
    "intervals",
    "points",
    "nested",
    "composites",
    "ranges",
    "enums",
    "hstore",
    "vectors",
    "geometry",
)
_MODULES = [import_module(f"bulkio.pgcopy.{family}") for family in FAMILIES]

ENCODERS: dict[str, Coder] = {name: cls for module in _MODULES for name, cls in module.ENCODERS.items()}
DECODERS: dict[str, Coder] = {name: cls for module in _MODULES for name, cls in module.DECODERS.items()}


def build_encoder(cast: Cast) -> object:
    """Make the tree of encoders for one column."""
    return ENCODERS[cast.codec](cast, [build_encoder(child) for child in cast.children])


def build_decoder(cast: Cast) -> object:
    """Make the tree of decoders for one column."""
    return DECODERS[cast.codec](cast, [build_decoder(child) for child in cast.children])
