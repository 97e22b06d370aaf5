from collections.abc import Callable

from bulkio.types import Cast

ENCODERS: dict[str, Callable[[Cast, list[object]], object]]
DECODERS: dict[str, Callable[[Cast, list[object]], object]]
