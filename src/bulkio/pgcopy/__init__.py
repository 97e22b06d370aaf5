"""The codec: Arrow record batches <-> COPY BINARY bytes. Sans-io: no socket, no driver, no event loop.

    encoder = Encoder(fields)
    for batch in batches:
        for block in encoder.encode(batch): send(block)
    send(encoder.finish())

    decoder = Decoder(fields, schema)
    for piece in pieces:
        decoder.feed(piece)
        for batch in decoder.batches(): use(pyarrow.record_batch(batch))
    for batch in decoder.finish(): use(pyarrow.record_batch(batch))

It knows Arrow only through the C Data Interface. A field's `Cast`, which `bulkio.types` chooses, names the class that
encodes or decodes its column; `registry` maps these names to classes.
"""

from __future__ import annotations

from bulkio.pgcopy.decoder import Batch, Decoder
from bulkio.pgcopy.encoder import Block, Encoder
from bulkio.pgcopy.field import Field

__all__ = ["Batch", "Block", "Decoder", "Encoder", "Field"]
