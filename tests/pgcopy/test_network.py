"""inet, cidr, macaddr, macaddr8 against Python's ipaddress and against the server."""

from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError
from bulkio.types import base_type
from cells import agree_on_parsing, agree_on_printing, decode, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

INET, CIDR = base_type("inet"), base_type("cidr")
MAC, MAC8 = base_type("macaddr"), base_type("macaddr8")

IPV6_EDGES = [
    *(
        "::",
        "::1",
        "::2",
        "1::",
        "1::2",
        "::ffff",
        "::1:0",
        "1:0:0:2::",
        "1:0:0:2:0:0:0:3",
        "0:0:1::",
        "1:2:3:4:5:6:7:8",
    ),
    *("::1.2.3.4", "::ffff:1.2.3.4", "::fffe:1.2.3.4", "::1:1.2.3.4", "::0.0.0.1", "::0.1.0.0", "64:ff9b::1.2.3.4"),
    *("::ffff:0:0", "::ffff:0.0.0.0", "1:0:2:0:3:0:4:0", "0:1:0:1:0:1:0:1", "fe80::1/64", "::/0", "2001:DB8::A/128"),
    *("1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "0:0:3:4:5:6:0:0", "1:2:3:4:5:6:1.2.3.4", "ffff::ffff/1", "::/128"),
]
IPV4_EDGES = [
    *("0.0.0.0", "255.255.255.255", "1.2.3.4/0", "1.2.3.4/31", "1.2.3.4/32"),  # noqa: S104
    *("10.0.0.0/8", "010.001.0.009", "1.2.3.4/08"),
]
REFUSED = [
    *(
        "",
        "1",
        "1.2.3",
        "10/8",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.4/33",
        "1.2.3.4/",
        "1.2.3.4/a",
        " 1.2.3.4",
        "1.2.3.4 ",
    ),
    *("1.2.3.4.", ".1.2.3", "1..2.3", "1.2.3.4/-1", "1.2.3.4\0", "0x1.2.3.4", "+1.2.3.4", "1.2.3.4/032x"),
    *(":", ":::", "1:", ":1", "1:::2", "1::2::3", "12345::", "g::", "::1/129", "::1/", "::1/064", "::1%eth0", "[::1]"),
    *("1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "::1.2.3", "::1.2.3.04", "::1.2.3.4.5", "1.2.3.4::"),
    *("1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "::1:/64", "/8", "::ffff:256.1.1.1", "9" * 80, "é"),
]


@given(st.ip_addresses(), st.data())
def test_inet_round_trip(address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject) -> None:
    """Any address with any netmask means the same afterwards."""
    bits = data.draw(st.integers(0, address.max_prefixlen))
    text = decode([encode_text(f"{address}/{bits}", INET)], INET)[0].as_py()
    assert ipaddress.ip_interface(text) == ipaddress.ip_interface(f"{address}/{bits}")
    assert ("/" in text) == (bits != address.max_prefixlen)
    network = str(ipaddress.ip_interface(f"{address}/{bits}").network)
    assert ipaddress.ip_network(decode([encode_text(network, CIDR)], CIDR)[0].as_py()) == ipaddress.ip_network(network)


@pytest.mark.parametrize("text", REFUSED)
def test_inet_refuses(text: str) -> None:
    """Abbreviated, malformed and padded addresses."""
    for pg in (INET, CIDR):
        with pytest.raises(EncodeError, match=f"is not a valid {pg.name}"):
            encode_text(text, pg)


@pytest.mark.parametrize("text", ["1.2.3.4/31", "1.2.3.5/30", "255.255.255.255/0", "::1/127", "8000::/0", "1::1:0/100"])
def test_cidr_refuses_host_bits(text: str) -> None:
    """A network has no bits right of its netmask; an inet may."""
    if text != "1.2.3.4/31":
        with pytest.raises(EncodeError, match="is not a valid cidr"):
            encode_text(text, CIDR)
    encode_text(text, INET)


def test_inet_decoder_checks_every_byte() -> None:
    """Family, netmask, flag and size are looked at before the address is read."""
    good = bytes([2, 24, 0, 4, 1, 2, 3, 4])
    assert decode([good, None], INET, chunk_bytes=1).to_pylist() == ["1.2.3.4/24", None]
    for n in range(len(good)):
        with pytest.raises(DecodeError, match="wrong length"):
            decode([good[:n]], INET)
    with pytest.raises(DecodeError, match="expected 8 bytes, found 9"):
        decode([good + b"\0"], INET)
    sixteen = bytes([3, 128, 0, 16, *range(16)])
    for bad in (
        *(bytes([2, 33]) + good[2:], good[:2] + b"\1" + good[3:], good[:3] + b"\5" + good[4:]),
        *(b"\4" + sixteen[1:], sixteen[:1] + b"\x81" + sixteen[2:]),
    ):
        with pytest.raises(DecodeError, match="the bytes are not a valid inet"):
            decode([bad], INET)


@given(st.binary(min_size=8, max_size=8))
def test_mac_round_trip(raw: bytes) -> None:
    """Every spelling means the same bytes."""
    for pg, size in ((MAC, 6), (MAC8, 8)):
        data = raw[:size]
        text = data.hex(":")
        assert decode([data], pg).to_pylist() == [text]
        plain = data.hex()
        half, fours = size, [plain[i : i + 4] for i in range(0, 2 * size, 4)]
        spellings = (text, text.upper(), data.hex("-"), plain, ".".join(fours), "-".join(fours))
        for spelling in (*spellings, f"{plain[:half]}:{plain[half:]}", f"{plain[:half]}-{plain[half:]}"):
            assert encode_text(spelling, pg) == data


@pytest.mark.parametrize(
    "text",
    [
        *("", "08:00:2b:01:02", "08:00:2b:01:02:0g", "08:00:2b:01:02:03:", "08:00-2b:01:02:03", "08002b 010203"),
        *("8:0:2b:1:2:3", "08.00.2b.01.02.03", "08002b.010203", "0800:2b01:0203", " 08:00:2b:01:02:03", "é" * 6),
    ],
)
def test_mac_refuses(text: str) -> None:
    """What is no full address; six bytes for eight too, which the server would widen."""
    for pg in (MAC, MAC8):
        with pytest.raises(EncodeError, match=f"is not a valid {pg.name}"):
            encode_text(text, pg)
    with pytest.raises(EncodeError, match="is not a valid macaddr8"):
        encode_text("08:00:2b:01:02:03", MAC8)


@pytest.mark.parametrize(("pg", "size"), [(MAC, 6), (MAC8, 8)])
def test_mac_decoder_checks_the_length(pg: object, size: int) -> None:
    """Nothing but the type's own length is read."""
    for n in (0, size - 1, size + 1):
        with pytest.raises(DecodeError, match=f"expected {size} bytes, found {n}"):
            decode([bytes(n)], pg)


def random_addresses(count: int) -> list[str]:
    """Return addresses with many zero groups, where the compression has something to choose."""
    rng = random.Random(20)  # noqa: S311 - a fixed sample
    addresses = []
    for _ in range(count):
        groups = [rng.choice(["0", "0", "0", "1", "ffff", f"{rng.randrange(65536):x}"]) for _ in range(8)]
        addresses.append(":".join(groups) + rng.choice(["", f"/{rng.randrange(129)}"]))
        addresses.append(
            ".".join(str(rng.randrange(256)) for _ in range(4)) + rng.choice(["", f"/{rng.randrange(33)}"])
        )
    return addresses


def test_inet_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Text as the server writes it, parsed as the server parses it; for networks too."""
    conn = connect(dsn)
    texts = [*IPV6_EDGES, *IPV4_EDGES, *random_addresses(1000)]
    agree_on_printing(conn, "inet", INET, texts)
    agree_on_parsing(conn, "inet", INET, texts)
    # network(inet) makes of each the network that it is in
    networks = [row[0] for row in conn.execute("SELECT network(t::inet)::text FROM unnest(%s::text[]) AS t", [texts])]
    networks += ["1.2.3.4", "::1", "224.0.0.0"]
    agree_on_printing(conn, "cidr", CIDR, networks)
    agree_on_parsing(conn, "cidr", CIDR, networks)


def test_macaddr_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Every spelling that is taken."""
    conn = connect(dsn)
    six = [
        "08:00:2b:01:02:03",
        "08-00-2B-01-02-03",
        "08002b:010203",
        "08002b-010203",
        "0800.2b01.0203",
        "0800-2b01-0203",
    ]
    eight = ["08:00:2b:01:02:03:04:05", "08-00-2b-01-02-03-04-05", "08002b01:02030405", "08002b01-02030405"]
    eight += ["0800.2b01.0203.0405", "0800-2b01-0203-0405", "08002b0102030405", "FFFFFFFFFFFFFFFF"]
    for name, pg, texts in (("macaddr", MAC, [*six, "08002b010203"]), ("macaddr8", MAC8, eight)):
        agree_on_printing(conn, name, pg, texts)
        agree_on_parsing(conn, name, pg, texts)
