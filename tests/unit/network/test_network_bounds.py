"""The bounded tables of the network: outbox, bans, reputation, address book, token bucket."""

from typing import Any

import pytest
import trio
import trio.testing

from node.network.address_book import ADDRESSES_MAX, BACKOFF_BOOT_MAX_S, FAILURES_MAX, AddressBook
from node.network.addresses import PeerAddress
from node.network.ban_table import BANS_MAX, BanTable
from node.network.config import NetworkConfig
from node.network.outbox import BATCH_BYTES_MAX, QUEUE_BYTES_MAX, Outbox, frame
from node.network.peer_reputation import BAN_THRESHOLD, PEERS_MAX, SCORE_MAX, SCORE_MIN, WRONG_GENESIS, PeerReputation
from node.network.port import NOTIFICATION_BYTES_MAX, FrameTooLarge, Kind, PeerId
from node.network.token_bucket import TokenBucket

US, BOOT, OTHER = PeerId("us"), PeerId("boot"), PeerId("other")


def address(peer: PeerId, port: int = 1) -> PeerAddress:
    """An address of a peer."""
    return PeerAddress(peer, "10.0.0.1", port)


def test_votes_leave_before_announces_and_those_before_transactions() -> None:
    """Whatever the order of queueing, a batch holds votes first, then announces, then transactions."""

    async def main() -> bytes:
        outbox = Outbox()
        for kind in (Kind.TRANSACTIONS, Kind.ANNOUNCE, Kind.VOTE, Kind.TRANSACTIONS, Kind.VOTE):
            assert outbox.put(kind, bytes((kind,)))
        return await outbox.next_batch()

    order = (Kind.VOTE, Kind.VOTE, Kind.ANNOUNCE, Kind.TRANSACTIONS, Kind.TRANSACTIONS)
    assert trio.run(main) == b"".join(frame(kind, bytes((kind,))) for kind in order)


def test_a_batch_is_bounded_and_a_large_frame_goes_alone() -> None:
    """Frames are joined up to 64 KiB; a frame above that is a batch of its own; nothing is lost or doubled."""

    async def main() -> list[int]:
        outbox = Outbox()
        outbox.put(Kind.ANNOUNCE, bytes(NOTIFICATION_BYTES_MAX))
        for _ in range(100):
            outbox.put(Kind.TRANSACTIONS, bytes(1000))
        sizes: list[int] = []
        while sum(sizes) < NOTIFICATION_BYTES_MAX + 5 + 100 * 1005:
            sizes.append(len(await outbox.next_batch()))
        return sizes

    sizes = trio.run(main)
    assert sizes[0] == NOTIFICATION_BYTES_MAX + 5
    assert max(sizes[1:]) <= BATCH_BYTES_MAX
    assert sum(sizes[1:]) == 100 * 1005


def test_a_full_queue_drops_its_own_kind_only() -> None:
    """Transactions above their cap are dropped and counted; votes still pass."""

    async def main() -> None:
        outbox = Outbox()
        accepted = 0
        while outbox.put(Kind.TRANSACTIONS, bytes(NOTIFICATION_BYTES_MAX)):
            accepted += 1
        assert accepted == QUEUE_BYTES_MAX[2] // (NOTIFICATION_BYTES_MAX + 5)
        assert outbox.dropped_total == 1
        assert outbox.put(Kind.VOTE, b"vote")

    trio.run(main)


def test_an_oversized_notification_is_the_callers_mistake() -> None:
    """Above 1 MiB `put` raises FrameTooLarge with size and limit."""

    async def main() -> None:
        with pytest.raises(FrameTooLarge) as refused:
            Outbox().put(Kind.VOTE, bytes(NOTIFICATION_BYTES_MAX + 1))
        assert (refused.value.size, refused.value.limit) == (NOTIFICATION_BYTES_MAX + 1, NOTIFICATION_BYTES_MAX)

    trio.run(main)


def test_bans_end_and_never_shorten() -> None:
    """A ban holds until its time; a shorter one on top changes nothing."""
    bans = BanTable()
    bans.ban(OTHER, 10, 0)
    bans.ban(OTHER, 1, 0)
    assert bans.is_banned(OTHER, 9.9)
    assert not bans.is_banned(OTHER, 10)
    assert not bans.is_banned(US, 0)


def test_the_ban_table_is_bounded() -> None:
    """With the table full, the ban that ends first makes room."""
    bans = BanTable()
    for number in range(BANS_MAX + 1):
        bans.ban(PeerId(str(number)), 100 + number, 0)
    assert not bans.is_banned(PeerId("0"), 0)
    assert bans.is_banned(PeerId("1"), 0)
    assert bans.is_banned(PeerId(str(BANS_MAX)), 0)


def test_reputation_adds_up_stays_in_range_and_decays() -> None:
    """Scores add up within 32 bits and lose a fiftieth a second; a wrong genesis is a ban at once."""
    reputation = PeerReputation()
    assert not reputation.change(OTHER, -1000, 0)
    assert reputation.score(OTHER, 0) == -1000
    assert reputation.score(OTHER, 1) == -980
    assert -10 < reputation.score(OTHER, 300) <= 0
    assert reputation.change(OTHER, WRONG_GENESIS.delta, 300)
    assert reputation.change(OTHER, SCORE_MIN, 300)
    assert reputation.score(OTHER, 300) == SCORE_MIN
    assert not reputation.change(US, SCORE_MAX, 300)
    assert not reputation.change(US, SCORE_MAX, 300)
    assert reputation.score(US, 300) == SCORE_MAX


def test_the_threshold_is_where_a_ban_begins() -> None:
    """One point above the threshold is no ban, the threshold is."""
    assert not PeerReputation().change(OTHER, BAN_THRESHOLD + 1, 0)
    assert PeerReputation().change(OTHER, BAN_THRESHOLD, 0)


def test_reputation_forgets_the_most_neutral_peer_first() -> None:
    """With the table full, the score nearest to 0 makes room, so that a flood of names hides no offender."""
    reputation = PeerReputation()
    for number in range(PEERS_MAX):
        reputation.change(PeerId(str(number)), -100 if number else -1, 0)
    reputation.change(OTHER, -50, 0)
    assert reputation.score(PeerId("0"), 0) == 0
    assert reputation.score(PeerId("1"), 0) == -100
    assert reputation.score(OTHER, 0) == -50


def test_boot_nodes_are_dialled_for_ever_others_forgotten() -> None:
    """After many failures a boot node is still due within its longest back-off; a learned peer is gone."""
    book = AddressBook(US, [address(BOOT)])
    book.learn(address(OTHER))
    now_s = 0.0
    for _ in range(FAILURES_MAX + 1):
        book.failed(BOOT, now_s)
        book.failed(OTHER, now_s)
    assert book.due(BACKOFF_BOOT_MAX_S) == [BOOT]
    assert book.due(1e9) == [BOOT]


def test_back_off_doubles_and_a_success_resets_it() -> None:
    """Each failure doubles the wait; a peer that came up is tried again at once when it goes."""
    book = AddressBook(US, [address(BOOT)])
    waits: list[float] = []
    for _ in range(4):
        book.failed(BOOT, 0)
        waits.append(book.next_due_s(0))
    assert waits == [0.5, 1, 2, 4]
    book.succeeded(BOOT, 0)
    assert book.next_due_s(0) == 0.5


def test_the_address_book_is_bounded_and_knows_itself() -> None:
    """Strangers fill it up to its cap; our own address is never kept; the boot node stays as it was."""
    book = AddressBook(US, [address(BOOT)])
    book.learn(address(US))
    book.learn(address(BOOT, 666))
    for number in range(2 * ADDRESSES_MAX):
        book.learn(address(PeerId(str(number))))
    assert len(book) == ADDRESSES_MAX
    assert BOOT in book.due(0)
    assert US not in book.due(0)
    assert book.address(BOOT) == address(BOOT)


def test_a_token_bucket_slows_down_to_its_rate() -> None:
    """A burst passes at once; afterwards each token takes its time, by a clock that the test moves."""

    async def main() -> float:
        bucket = TokenBucket(rate=10, burst=5)
        await bucket.take(5)
        assert trio.current_time() == start
        for _ in range(10):
            await bucket.take(1)
        return trio.current_time() - start

    clock = trio.testing.MockClock(autojump_threshold=0)
    start = clock.current_time()
    assert trio.run(main, clock=clock) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"node_key_seed": bytes(31)}, "node_key_seed"),
        ({"genesis_hash": bytes(33)}, "genesis_hash"),
        ({"listen_port": 65536}, "listen_port"),
        ({"max_inbound": -1}, "max_inbound"),
        ({"ping_interval_s": 20.0}, "ping_interval_s"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, Any], field: str) -> None:
    """A setting out of its range is a ValueError that names it."""
    with pytest.raises(ValueError, match=field):
        NetworkConfig(**{"node_key_seed": bytes(32), "genesis_hash": bytes(32), **settings})
