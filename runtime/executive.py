"""Executive: a block becomes checks, dispatches and hooks, in Substrate's order.

    start       facts of the block, migrations if the rules changed, on_initialize of every pallet
    apply       the inherent first, then extrinsics: checks -> fee -> dispatch in a storage layer -> Success or Failed
    finish      on_idle, on_finalize, roots

Authoring and import run the same code; import then compares the header. Source: frame_executive; spec/chain.md §1, (f).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from runtime import tree
from runtime.errors import (
    BlockFault,
    DispatchError,
    DispatchErrorValue,
    InvalidBlock,
    InvalidTransaction,
    TokenError,
    Validity,
)
from runtime.extrinsic import Extrinsic, ExtrinsicCache
from runtime.extrinsics_root import extrinsics_root
from runtime.pallet import Inherent, Signed
from runtime.runtime import PHASE_FINALIZATION, PHASE_INITIALIZATION, phase_of
from runtime.scale import ScaleError
from runtime.state import Reader
from runtime.types import DIGEST_BYTES_MAX, Block, Digest, Header, PreRuntime, RuntimeEnvironmentUpdated
from runtime.validity import SignatureChecks, check_era, check_nonce, check_signable
from runtime.weight import BASE_BLOCK_PS, BASE_EXTRINSIC_PS, BlockBudget, DispatchClass, cost_ps

if TYPE_CHECKING:
    from runtime.heddle import Heddle

EXTRINSICS_MAX = 8_192
"""Extrinsics in one block (spec/chain.md (f))."""
EVIDENCE_MAX = 2
"""Bare extrinsics after the timestamp: equivocation evidence (spec/chain.md (g))."""


class StateReader(Reader, Protocol):
    """A Reader that also knows its tree."""

    def updated_root(self, changes: Sequence[tuple[bytes, bytes | None]]) -> tree.Node:
        """The tree after raw changes, each key once."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What a block did. `header` has no seal.

    `changes` are all changed raw keys with their values, ascending, System.Events among them; `events` is its value.
    `failures` maps an extrinsic's index to its dispatch error.
    """

    header: Header
    extrinsics: tuple[bytes, ...]
    changes: list[tuple[bytes, bytes | None]]
    events: bytes
    root: tree.Node
    failures: dict[int, DispatchErrorValue]


class Executive:
    """Runs blocks, one at a time, on one runtime instance."""

    def __init__(self, runtime: Heddle, cache: ExtrinsicCache | None = None) -> None:
        self.runtime = runtime
        self.cache = cache or ExtrinsicCache()
        self.checks = SignatureChecks(runtime, self.cache)
        self._raws: list[bytes] = []
        self._hashes: list[bytes] = []
        self._failures: dict[int, DispatchErrorValue] = {}
        self._parent_hash = b""
        self._signed_seen = False
        self._reader: StateReader
        self.checks_encoding = False
        """Whether a value that has no encoding is found right after the extrinsic that wrote it: for authors, dear."""
        self.budget = BlockBudget(2000)

    def start(self, parent_hash: bytes, number: int, digest: Digest, reader: StateReader) -> None:
        """Open block `number` on the state of its parent. `digest` holds the PreRuntime items, slot first."""
        runtime = self.runtime
        system, state = runtime.system, runtime.state
        previous = runtime.attach(reader, number)
        self._reader, self._parent_hash = reader, parent_hash
        self._raws, self._hashes, self._failures = [], [], {}
        self._signed_seen = False
        self.budget = BlockBudget(system.slot_ms)
        self.budget.used_ps = BASE_BLOCK_PS
        state.phase = PHASE_INITIALIZATION
        system.open_block(number, parent_hash, digest)
        runtime.note_slot(digest)
        if previous != state.spec:
            for pallet in runtime.pallets:
                pallet.on_runtime_upgrade(previous)
            system.note_upgrade(state.spec)
            system.deposit_log(RuntimeEnvironmentUpdated())
        for pallet in runtime.pallets:
            self.budget.used_ps += pallet.on_initialize(number, system.slot)

    def apply(self, extrinsic: Extrinsic) -> DispatchErrorValue | None:
        """Include one extrinsic. Raises InvalidTransaction, with nothing changed, if it may not be in this block."""
        runtime = self.runtime
        state, payment = runtime.state, runtime.transaction_payment
        mark, fees = state.mark(), (payment.fees, payment.tips)
        budget = self.budget.snapshot()
        state.phase = phase_of(len(self._raws))
        try:
            failure = self._apply_bare(extrinsic) if extrinsic.signer is None else self._apply_signed(extrinsic)
            if self.checks_encoding:
                state.check_encodes(mark)
                runtime.system.check_events(mark[1])
        except BaseException:
            state.rollback(mark)
            payment.fees, payment.tips = fees
            self.budget.restore(budget)
            raise
        self._signed_seen = self._signed_seen or extrinsic.signer is not None
        if failure is not None:
            self._failures[len(self._raws)] = failure
        self._raws.append(extrinsic.raw)
        self._hashes.append(extrinsic.hash)
        return failure

    def _apply_signed(self, extrinsic: Extrinsic) -> DispatchErrorValue | None:
        runtime = self.runtime
        system, payment = runtime.system, runtime.transaction_payment
        call = extrinsic.call
        definition, who = call.definition, extrinsic.signer
        assert who is not None
        check_signable(definition)
        check_nonce(system, extrinsic, allow_future=False)
        self.checks.check(extrinsic, check_era(system, extrinsic, system.number))
        call_ps = call.weight_ps
        self._reserve(definition.dispatch_class, call_ps + BASE_EXTRINSIC_PS, len(extrinsic.raw))
        fee = payment.fee(len(extrinsic.raw), call_ps) if definition.pays_fee else 0
        sponsor = None if extrinsic.tip else runtime.processors.sponsor_of(who, definition, fee)
        try:
            payment.charge(who, fee, extrinsic.tip, sponsor)
        except TokenError as error:
            raise InvalidTransaction(
                Validity.PAYMENT, f"fee {fee} + tip {extrinsic.tip} planck exceed what the account can spend"
            ) from error
        failure = None
        state = runtime.state
        reads, writes = state.reads, state.writes
        try:
            runtime.dispatch_in_layer(call, Signed(who))
        except DispatchError as error:
            failure = runtime.error_value(error)
        used_ps = call_ps
        if definition.refundable:
            used_ps = min(call_ps, cost_ps(state.reads - reads, state.writes - writes))
            self.budget.give_back(definition.dispatch_class, call_ps - used_ps)
        paid = fee if used_ps == call_ps else fee - payment.weight_fee(call_ps) + payment.weight_fee(used_ps)
        payment.settle(sponsor or who, fee, paid, extrinsic.tip)
        if sponsor is not None:
            runtime.processors.note_sponsored(who, sponsor, paid)
        system.note_applied(definition, used_ps + BASE_EXTRINSIC_PS, failure)
        return failure

    def _apply_bare(self, extrinsic: Extrinsic) -> DispatchErrorValue | None:
        """An inherent: `timestamp.set` first and once, then at most two pieces of evidence."""
        definition = extrinsic.call.definition
        position = len(self._raws)
        is_timestamp = definition.pallet == "Timestamp"
        if Inherent not in definition.origins:
            raise InvalidTransaction(Validity.CALL, f"{definition.pallet}.{definition.name} must be signed")
        if (position == 0) != is_timestamp or position > EVIDENCE_MAX or self._signed_seen:
            raise InvalidTransaction(Validity.BAD_MANDATORY, "timestamp.set comes first and once, then evidence")
        self._reserve(DispatchClass.MANDATORY, extrinsic.call.weight_ps + BASE_EXTRINSIC_PS, len(extrinsic.raw))
        try:
            self.runtime.dispatch_in_layer(extrinsic.call, Inherent())
        except DispatchError as error:
            raise InvalidTransaction(Validity.BAD_MANDATORY, f"inherent refused: {error!r}") from error
        self.runtime.system.note_applied(definition, extrinsic.call.weight_ps + BASE_EXTRINSIC_PS, None)
        return None

    def _reserve(self, dispatch_class: DispatchClass, weight_ps: int, length: int) -> None:
        if len(self._raws) >= EXTRINSICS_MAX or not self.budget.take(dispatch_class, weight_ps, length):
            raise InvalidTransaction(Validity.EXHAUSTS_RESOURCES, "the block is full")

    def finish(self) -> Executed:
        """Close the block: hooks, events, roots."""
        runtime = self.runtime
        state, system = runtime.state, runtime.system
        if not self._raws:
            raise InvalidBlock(BlockFault.INHERENT, "timestamp.set is missing")
        runtime.transaction_payment.fullness = self.budget.fullness()
        # Before on_idle: the phase that an author's last refused extrinsic left behind is not in the block.
        state.phase = PHASE_FINALIZATION
        for pallet in runtime.pallets:
            self.budget.used_ps += pallet.on_idle(max(self.budget.total_ps - self.budget.used_ps, 0))
        for pallet in runtime.pallets:
            pallet.on_finalize()
        digest = system.close_block()
        changes = state.changes()
        events = next(value for key, value in changes if key == system.events_value.prefix)
        root = self._reader.updated_root(changes)
        header = Header(self._parent_hash, system.number, tree.digest(root), extrinsics_root(self._hashes), digest)
        return Executed(header, tuple(self._raws), changes, events or b"", root, self._failures)

    def execute_block(self, block: Block, reader: StateReader) -> Executed:
        """Re-execute a block on its parent's state and compare every root. Raises InvalidBlock.

        Seal and author are the import queue's business: they need the parent's authorities only.
        """
        unsealed, _ = block.header.unsealed()
        self.start(unsealed.parent_hash, unsealed.number, _pre_runtime(unsealed), reader)
        for position, raw in enumerate(block.extrinsics):
            self._apply_raw(position, raw)
        executed = self.finish()
        _compare(executed.header, unsealed)
        return replace(executed, header=block.header)

    def _apply_raw(self, position: int, raw: bytes) -> None:
        try:
            self.apply(self.cache.decode(raw, self.runtime))
        except ScaleError as error:
            raise InvalidBlock(BlockFault.EXTRINSIC, f"extrinsic {position}: {error}") from error
        except InvalidTransaction as error:
            inherent = error.code is Validity.BAD_MANDATORY
            fault = BlockFault.INHERENT if inherent else BlockFault.EXTRINSIC
            raise InvalidBlock(fault, f"extrinsic {position}: {error}") from error


def _pre_runtime(header: Header) -> Digest:
    logs = tuple(item for item in header.digest.logs if isinstance(item, PreRuntime))
    if not logs or header.slot() is None or sum(len(item.data) for item in logs) > DIGEST_BYTES_MAX:
        raise InvalidBlock(BlockFault.DIGEST, "the digest must start with the slot and stay within 16 KiB")
    return Digest(logs)


def _compare(ours: Header, theirs: Header) -> None:
    if ours.digest != theirs.digest:
        raise InvalidBlock(BlockFault.DIGEST, "the digest differs from the one execution gives")
    if ours.extrinsics_root != theirs.extrinsics_root:
        raise InvalidBlock(BlockFault.EXTRINSICS_ROOT, f"expected 0x{ours.extrinsics_root.hex()}")
    if ours.state_root != theirs.state_root:
        raise InvalidBlock(BlockFault.STATE_ROOT, f"expected 0x{ours.state_root.hex()}")
