"""What crosses the wire before any trust: handshakes, addresses, peer lists. Decoders are total and typed."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.network.addresses import PeerAddress, format_address, parse_address, parse_peer_id, scope
from node.network.handshake import decode_handshake, encode_handshake
from node.network.peer_exchange import PEERS_MAX, decode_peers, encode_peers
from node.network.port import ChainStatus, InvalidAddress, MalformedMessage, Role

PEER = parse_peer_id("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp")
GENESIS = bytes(range(32))
STATUS = ChainStatus(Role.FULL | Role.AUTHORITY, 9, bytes(32), 7)
FIELDS = [GENESIS, 1, 3, 9, bytes(32), 7, 30333]


def packed(*changes: tuple[int, object]) -> bytes:
    """A handshake with some fields changed."""
    fields: list[object] = list(FIELDS)
    for index, value in changes:
        fields[index] = value
    return bytes(msgpack.packb(fields, use_bin_type=True))


def test_a_handshake_comes_back_as_it_was() -> None:
    """Encoding and decoding a handshake keeps every field."""
    decoded = decode_handshake(encode_handshake(GENESIS, STATUS, 30333))
    assert (decoded.genesis_hash, decoded.protocol_version, decoded.status) == (GENESIS, 1, STATUS)
    assert decoded.listen_port == 30333


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (packed((0, bytes(31))), "genesis_hash"),
        (packed((0, "0" * 32)), "genesis_hash"),
        (packed((1, -1)), "protocol_version"),
        (packed((1, True)), "protocol_version"),
        (packed((2, 256)), "roles"),
        (packed((3, 1 << 32)), "best_number"),
        (packed((3, 9.0)), "best_number"),
        (packed((4, None)), "best_hash"),
        (packed((5, 10)), "finalized_number"),
        (packed((6, 65536)), "listen_port"),
        (packed() + b"\x00", "handshake"),
        (b"\xdc\x00\x07" + packed()[1:], "handshake"),
        (packed((3, [[[]]])), "best_number"),
        (b"", "handshake"),
        (b"\x81\xa1a\x01", "handshake"),
        (b"\xdd\xff\xff\xff\xff", "handshake"),
        (bytes(257), "handshake"),
    ],
)
def test_a_handshake_that_breaks_a_rule_is_refused_by_name(data: bytes, field: str) -> None:
    """Wrong types, ranges, lengths, trailing bytes and non-canonical forms are typed errors that name the field."""
    with pytest.raises(MalformedMessage) as refused:
        decode_handshake(data)
    assert refused.value.field == field


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_decoders(data: bytes) -> None:
    """Any bytes either decode or raise MalformedMessage, for handshakes and peer lists."""
    for decode in (decode_handshake, lambda d: decode_peers(d, "127.0.0.1")):
        try:
            decode(data)
        except MalformedMessage:
            continue


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (f"/ip4/127.0.0.1/tcp/30333/p2p/{PEER}", "127.0.0.1", 30333),
        (f"/ip6/::1/tcp/1/p2p/{PEER}", "::1", 1),
        (f"/dns4/boot.example.org/tcp/65535/p2p/{PEER}", "boot.example.org", 65535),
        (f"/dns/localhost/tcp/80/ipfs/{PEER}", "localhost", 80),
    ],
)
def test_addresses_are_parsed(text: str, host: str, port: int) -> None:
    """IPv4, IPv6 and names are read; what is formatted can be read again."""
    address = parse_address(text)
    assert address == PeerAddress(PEER, host, port)
    assert parse_address(format_address(host, port, PEER)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:30333",
        f"/ip4/127.0.0.1/tcp/0/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/65536/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/٣/p2p/{PEER}",
        f"/ip4/127.0.0.1/udp/30333/p2p/{PEER}",
        f"/ip4/127.0.0.999/tcp/30333/p2p/{PEER}",
        f"/ip6/127.0.0.1/tcp/30333/p2p/{PEER}",
        f"/ip6/fe80::1%eth0/tcp/30333/p2p/{PEER}",
        f"/dns4/-a..b/tcp/30333/p2p/{PEER}",
        "/ip4/127.0.0.1/tcp/30333",
        "/ip4/127.0.0.1/tcp/30333/p2p/0OIl",
        f"/ip4/127.0.0.1/tcp/30333/p2p/{PEER}/p2p-circuit",
        "/" * 500,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Anything but /ip4|ip6|dns/HOST/tcp/PORT/p2p/ID is an InvalidAddress."""
    with pytest.raises(InvalidAddress):
        parse_address(text)


def test_a_peer_list_comes_back_and_keeps_its_bound() -> None:
    """A peer list is encoded with at most 32 entries, and one with more is refused."""
    many = [PeerAddress(PEER, "10.0.0.1", port) for port in range(1, 50)]
    assert decode_peers(encode_peers(many), "10.0.0.2") == many[:PEERS_MAX]
    too_many = msgpack.packb([[PEER, "10.0.0.1", 1]] * (PEERS_MAX + 1))
    with pytest.raises(MalformedMessage):
        decode_peers(too_many, "10.0.0.2")


@pytest.mark.parametrize(
    "row",
    [[PEER, "boot.example.org", 1], [PEER, "10.0.0.1", 0], [PEER, "10.0.0.1", True], ["x", "10.0.0.1", 1], [PEER], 7],
)
def test_a_bad_row_spoils_a_peer_list(row: object) -> None:
    """Names instead of IP literals, bad ports, bad ids and wrong shapes are refused."""
    with pytest.raises(MalformedMessage):
        decode_peers(msgpack.packb([row]), "10.0.0.2")


def test_a_stranger_cannot_point_us_at_our_own_machine() -> None:
    """A teller may only tell of addresses that reach no nearer than its own: internet, private network, loopback."""
    rows = [
        PeerAddress(PEER, host, 1) for host in ("127.0.0.1", "192.168.0.9", "8.8.8.8", "0.0.0.0", "::ffff:127.0.0.1")
    ]
    told = {
        host: [a.host for a in decode_peers(encode_peers(rows), host)] for host in ("8.8.4.4", "10.0.0.1", "127.0.0.1")
    }
    assert told["8.8.4.4"] == ["8.8.8.8"]
    assert told["10.0.0.1"] == ["192.168.0.9", "8.8.8.8"]
    assert told["127.0.0.1"] == ["127.0.0.1", "192.168.0.9", "8.8.8.8", "::ffff:127.0.0.1"]
    assert scope("255.255.255.255") < 3
