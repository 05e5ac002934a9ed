"""Whom to dial, where and when: boot nodes for ever, others until they fail too often; exponential back-off."""

from dataclasses import dataclass, field

from node.network.addresses import PeerAddress
from node.network.port import PeerId

ADDRESSES_MAX = 1024
ADDRESSES_PER_PEER_MAX = 4
BACKOFF_FIRST_S = 0.5
BACKOFF_BOOT_MAX_S = 5.0
BACKOFF_MAX_S = 300.0
FAILURES_MAX = 8


@dataclass(slots=True)
class _Entry:
    is_boot: bool
    addresses: list[PeerAddress] = field(default_factory=list)
    failures: int = 0
    due_at_s: float = 0.0


class AddressBook:
    """At most ADDRESSES_MAX peers; when full, the peer with most failures that is no boot node makes room."""

    def __init__(self, local: PeerId, bootnodes: list[PeerAddress]) -> None:
        self._local = local
        self._entries: dict[PeerId, _Entry] = {}
        for address in bootnodes:
            if address.peer != local:
                entry = self._entries.setdefault(address.peer, _Entry(is_boot=True))
                if address not in entry.addresses:
                    entry.addresses.append(address)

    def learn(self, address: PeerAddress) -> None:
        """Remember an address of a peer; of the learned ones the latest few are kept."""
        if address.peer == self._local:
            return
        entry = self._entries.get(address.peer)
        if entry is None:
            if len(self._entries) >= ADDRESSES_MAX and not self._make_room():
                return
            entry = self._entries[address.peer] = _Entry(is_boot=False)
        if not entry.is_boot and address not in entry.addresses:
            entry.addresses = [address, *entry.addresses][:ADDRESSES_PER_PEER_MAX]

    def _make_room(self) -> bool:
        candidates = [(entry.failures, peer) for peer, entry in self._entries.items() if not entry.is_boot]
        if not candidates:
            return False
        del self._entries[max(candidates)[1]]
        return True

    def due(self, now_s: float) -> list[PeerId]:
        """Peers whose time to be dialled has come: boot nodes first, then those with fewest failures."""
        ready = [peer for peer, entry in self._entries.items() if entry.due_at_s <= now_s]
        return sorted(ready, key=lambda peer: (not self._entries[peer].is_boot, self._entries[peer].failures))

    def next_due_s(self, now_s: float) -> float:
        """When the next peer that is not due now becomes so; infinity if none does."""
        return min((e.due_at_s for e in self._entries.values() if e.due_at_s > now_s), default=float("inf"))

    def address(self, peer: PeerId) -> PeerAddress:
        """The address to try next: they take turns."""
        entry = self._entries[peer]
        return entry.addresses[entry.failures % len(entry.addresses)]

    def is_boot(self, peer: PeerId) -> bool:
        """Whether the operator named this peer."""
        entry = self._entries.get(peer)
        return entry is not None and entry.is_boot

    def succeeded(self, peer: PeerId, now_s: float) -> None:
        """The peer came up; should it go, it is dialled again soon."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.failures = 0
            entry.due_at_s = now_s + BACKOFF_FIRST_S

    def failed(self, peer: PeerId, now_s: float) -> None:
        """The peer did not come up: wait twice as long as the last time; forget it after FAILURES_MAX."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        longest_s = BACKOFF_BOOT_MAX_S if entry.is_boot else BACKOFF_MAX_S
        entry.due_at_s = now_s + min(longest_s, BACKOFF_FIRST_S * 2 ** min(entry.failures, 16))
        entry.failures += 1
        if entry.failures > FAILURES_MAX and not entry.is_boot:
            del self._entries[peer]

    def __len__(self) -> int:
        return len(self._entries)
