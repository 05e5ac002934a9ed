"""Who is refused, and until when."""

from node.network.port import PeerId

BANS_MAX = 4096


class BanTable:
    """Bans of peers by id, at most BANS_MAX; the one that ends first makes room."""

    def __init__(self) -> None:
        self._until_s: dict[PeerId, float] = {}

    def ban(self, peer: PeerId, seconds: float, now_s: float) -> None:
        """Ban a peer; a longer ban that already stands is kept."""
        if peer not in self._until_s and len(self._until_s) >= BANS_MAX:
            del self._until_s[min(self._until_s, key=self._until_s.__getitem__)]
        self._until_s[peer] = max(self._until_s.get(peer, 0.0), now_s + seconds)

    def is_banned(self, peer: PeerId, now_s: float) -> bool:
        """Whether a peer is refused now; a ban that has ended is forgotten."""
        until_s = self._until_s.get(peer)
        if until_s is None:
            return False
        if until_s <= now_s:
            del self._until_s[peer]
            return False
        return True
