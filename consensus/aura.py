"""Aura: who may author in which slot, and how a header proves it.

Slot = now_ms / slot_ms; author = authorities[slot mod n] as of the parent's state. The digest reads [PreRuntime aura,
PreRuntime BCN0, Consensus..., Seal]; the seal signs the hash of the header without it, and the block's id includes it
(reference/substrate.md §4, spec/chain.md §1.14).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from consensus.grandpa.messages import Verify
from runtime.errors import BlockFault, InvalidBlock
from runtime.types import (
    AURA_ENGINE,
    BEACON_ENGINE,
    DIGEST,
    DIGEST_BYTES_MAX,
    DIGEST_ITEMS_MAX,
    Consensus,
    Hash,
    Header,
    PreRuntime,
    RuntimeEnvironmentUpdated,
    Seal,
)

SIGNATURE_BYTES = 64
UNFINALISED_SLACK = 50
"""Unfinalised blocks at which authors begin to hold back (spec/chain.md §3)."""
BACK_OFF_SLOTS_MAX = 100
SEEN_SLOTS_MAX = 1024
"""Slots of which the author's first header is remembered, to notice a second one."""
SLOTS_AHEAD_MAX = 1
"""A block of the next slot waits for its slot; one further ahead is refused."""


def slot_at(now_ms: int, slot_ms: int) -> int:
    """Return the slot that is current at a wall time."""
    return now_ms // slot_ms


def slot_start_ms(slot: int, slot_ms: int) -> int:
    """Return the wall time at which a slot begins: the time on chain in its block."""
    return slot * slot_ms


def slot_author(slot: int, authorities: Sequence[bytes]) -> bytes:
    """Return the key that may author in `slot`. Raises ValueError when there is no authority."""
    if not authorities:
        raise ValueError("authorities: empty")
    return authorities[slot % len(authorities)]


def claim_slot(slot: int, authorities: Sequence[bytes], own_keys: Collection[bytes]) -> bytes | None:
    """Return the key of ours that may author in `slot`, or None."""
    if not authorities:
        return None
    author = slot_author(slot, authorities)
    return author if author in own_keys else None


def back_off(slot: int, best_slot: int, best_number: int, finalised_number: int) -> bool:
    """Whether an author should stay silent in `slot` because finality lags.

    The slots to wait after the best block's are min((unfinalised - 50) // 2, 100) (spec/chain.md §3), so an author
    never falls silent for ever.
    """
    unfinalised = best_number - finalised_number
    if unfinalised <= UNFINALISED_SLACK:
        return False
    interval = min((unfinalised - UNFINALISED_SLACK) // 2, BACK_OFF_SLOTS_MAX)
    return slot <= best_slot + interval


def may_author(slot: int, boot_slot: int, last_authored: int | None) -> bool:
    """Whether the vote file allows authoring: never in a slot begun before boot, never twice (spec/chain.md (h))."""
    return slot > boot_slot and (last_authored is None or slot > last_authored)


@dataclass(frozen=True, slots=True)
class SealedHeader:
    """A header whose digest has the right form."""

    header: Header
    slot: int
    pre_hash: Hash
    """Hash of the header without the seal: what the author signed."""
    signature: bytes


def read_digest(header: Header) -> SealedHeader:
    """Take a header's digest apart. Raises InvalidBlock(DIGEST) when its form is wrong."""
    unsealed, seal = header.unsealed()
    if seal is None or seal.engine != AURA_ENGINE or len(seal.data) != SIGNATURE_BYTES:
        raise InvalidBlock(BlockFault.DIGEST, "seal: the last item must be an aura seal of 64 bytes")
    logs = unsealed.digest.logs
    if len(header.digest.logs) > DIGEST_ITEMS_MAX or len(DIGEST.encode(header.digest)) > DIGEST_BYTES_MAX:
        raise InvalidBlock(BlockFault.DIGEST, f"digest: over {DIGEST_ITEMS_MAX} items or {DIGEST_BYTES_MAX} bytes")
    if len(logs) < 2 or not _is_pre_runtime(logs[0], AURA_ENGINE) or not _is_pre_runtime(logs[1], BEACON_ENGINE):
        raise InvalidBlock(BlockFault.DIGEST, "digest: must begin with the aura slot and the beacon's reveal")
    if not all(isinstance(item, Consensus | RuntimeEnvironmentUpdated) for item in logs[2:]):
        raise InvalidBlock(BlockFault.DIGEST, "digest: only consensus items may stand before the seal")
    slot = header.slot()
    if slot is None:
        raise InvalidBlock(BlockFault.DIGEST, "slot: must be a u64")
    return SealedHeader(header, slot, unsealed.hash(), seal.data)


def check_seal(
    header: Header, parent_slot: int | None, authorities: Sequence[bytes], now_slot: int, verify: Verify
) -> SealedHeader:
    """Check slot, author and seal of a header.

    `parent_slot` is None for a child of genesis; `authorities` are those of the parent's state. Raises InvalidBlock
    (DIGEST, SLOT, AUTHOR or SEAL). A block of slot now + 1 passes: the caller keeps it until its slot begins.
    """
    sealed = read_digest(header)
    if parent_slot is not None and sealed.slot <= parent_slot:
        raise InvalidBlock(BlockFault.SLOT, f"slot {sealed.slot} does not rise above the parent's {parent_slot}")
    if sealed.slot > now_slot + SLOTS_AHEAD_MAX:
        raise InvalidBlock(BlockFault.SLOT, f"slot {sealed.slot} lies in the future of {now_slot}")
    if not authorities:
        raise InvalidBlock(BlockFault.AUTHOR, "authorities: the parent's state has none")
    if not verify(slot_author(sealed.slot, authorities), sealed.pre_hash, sealed.signature):
        raise InvalidBlock(BlockFault.SEAL, f"the seal is not by the author of slot {sealed.slot}")
    return sealed


def seal(header: Header, signature: bytes) -> Header:
    """Return the header with its author's seal at the end of the digest."""
    return header.with_item(Seal(AURA_ENGINE, signature))


@dataclass(frozen=True, slots=True)
class AuthorEquivocation:
    """Two different headers by one author for one slot, both sealed."""

    slot: int
    author: bytes
    first: Header
    second: Header


class EquivocationDetector:
    """Remembers the first header of each recent (slot, author) and notices a different second one."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[int, bytes], Header] = OrderedDict()

    def note(self, sealed: SealedHeader, author: bytes) -> AuthorEquivocation | None:
        """Note a header whose seal was verified. Returns the proof when the author sealed another in this slot."""
        key = (sealed.slot, author)
        first = self._seen.setdefault(key, sealed.header)
        if len(self._seen) > SEEN_SLOTS_MAX:
            self._seen.popitem(last=False)
        if first == sealed.header:
            return None
        return AuthorEquivocation(sealed.slot, author, first, sealed.header)


def _is_pre_runtime(item: object, engine: bytes) -> bool:
    return isinstance(item, PreRuntime) and item.engine == engine
