"""Golden bytes from real servers: the encoder makes these, the decoder reads them, a server sends them still."""

from __future__ import annotations

import pytest

from pgcopy import codec_cases as cases
from pgcopy.golden_cases import GOLDEN, read_file

STREAMS = read_file()


@pytest.fixture(params=GOLDEN, ids=lambda golden: f"{golden.case.id}")
def golden(request):
    """Return each query with its rows."""
    return request.param


def test_the_file_holds_each_query(golden):
    """golden.txt was made from the present list of queries."""
    assert golden.sql in STREAMS
    assert len(STREAMS) == len(GOLDEN)


def test_the_encoder_gives_the_servers_bytes(golden):
    """What the encoder makes of the same values is what the server sent, byte for byte."""
    array = golden.case.array(list(golden.rows))
    assert cases.encode(golden.case, [array]).hex() == STREAMS[golden.sql].hex()


def test_the_decoder_reads_the_servers_bytes(golden):
    """The server's bytes give the values, whole and byte by byte."""
    stream = STREAMS[golden.sql]
    for chunks in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
        batches = cases.decode(golden.case, chunks)
        rows = [cell for batch in batches for cell in golden.case.back(batch.column(0))]
        assert rows == golden.case.expected(list(golden.rows))


def test_a_live_server_sends_them_still(dsn, connect):
    """Each server found here sends these bytes today."""
    connection = connect(dsn)
    connection.execute("SET timezone = 'UTC'")
    for golden in GOLDEN:
        with connection.cursor().copy(f"COPY ({golden.sql}) TO STDOUT (FORMAT BINARY)") as copy:
            assert b"".join(map(bytes, copy)) == STREAMS[golden.sql], golden.sql
