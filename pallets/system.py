"""System: accounts, block hashes, events and the digest - what every block and every client needs.

Invariant: an account that has signed keeps its entry for ever, so that no nonce starts over and no immortal
transaction can be replayed (spec/chain.md §1.16); `set_data` is the only place that removes entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from runtime.errors import DispatchErrorValue, PalletError
from runtime.hashing import blake2b256
from runtime.pallet import CallDefinition, Cost, Event, Pallet, Root, Signed, call
from runtime.runtime import EventRecords
from runtime.scale import U16, U32, U128, Bounded, CompactU32, Registry, scale_path
from runtime.state import State
from runtime.storage import TWOX, Map, Value
from runtime.types import ZERO_HASH, AccountId, Digest, DigestItem, Hash
from runtime.weight import DispatchClass, Pays, Weight

BLOCK_HASH_COUNT = 4096
"""Block hashes kept: the longest era of a mortal transaction (spec/chain.md §3)."""
REMARK_BYTES_MAX = 64 << 10
UPGRADE_NOTICE_BLOCKS = 1800
UPGRADE_CANCEL_BLOCKS = 300
SUCCESSES_MAX = 1024
"""Success events kept to be shared by equal calls."""


@scale_path("pallet_balances", "types", "AccountData")
@dataclass(slots=True)
class AccountData:
    """Balances of one account in planck. `reserved` is the sum of its holds."""

    free: U128
    reserved: U128
    frozen: U128
    flags: U128


@scale_path("frame_system", "AccountInfo")
@dataclass(slots=True)
class AccountInfo:
    """An account. `nonce` counts its transactions; the reference counters keep Substrate's layout."""

    nonce: U32
    consumers: U32
    providers: U32
    sufficients: U32
    data: AccountData


NO_BALANCE = AccountData(0, 0, 0, 1 << 127)
NO_ACCOUNT = AccountInfo(0, 0, 0, 0, AccountData(0, 0, 0, 1 << 127))


@scale_path("frame_system", "DispatchEventInfo")
@dataclass(slots=True)
class DispatchEventInfo:
    """What a dispatch used."""

    weight: Weight
    class_: DispatchClass
    pays_fee: Pays


@scale_path("frame_system", "LastRuntimeUpgradeInfo")
@dataclass(frozen=True, slots=True)
class LastRuntimeUpgradeInfo:
    """The rules that the last block ran under."""

    spec_version: CompactU32
    spec_name: str


@dataclass(frozen=True, slots=True)
class AuthorizedUpgrade:
    """Rules of `spec_version` apply from the block at `height`."""

    spec_version: U32
    height: U32


@scale_path("frame_support", "weights", "BlockLength")
@dataclass(frozen=True, slots=True)
class BlockLength:
    """Most bytes of extrinsics in a block, by class."""

    normal: U32
    operational: U32
    mandatory: U32


@dataclass(slots=True)
class ExtrinsicSuccess(Event):
    """An extrinsic completed successfully."""

    dispatch_info: DispatchEventInfo


@dataclass(slots=True)
class ExtrinsicFailed(Event):
    """An extrinsic failed."""

    dispatch_error: DispatchErrorValue
    dispatch_info: DispatchEventInfo


@dataclass(slots=True)
class CodeUpdated(Event):
    """The rules of a new spec version are in force."""


@dataclass(slots=True)
class NewAccount(Event):
    """A new account was created."""

    account: AccountId


@dataclass(slots=True)
class KilledAccount(Event):
    """An account was reaped."""

    account: AccountId


@dataclass(slots=True)
class Remarked(Event):
    """On-chain remark happened."""

    sender: AccountId
    hash: Hash


@dataclass(slots=True)
class UpgradeAuthorized(Event):
    """A change of rules was authorised for a height."""

    spec_version: U32
    height: U32


@dataclass(slots=True)
class UpgradeCancelled(Event):
    """The pending change of rules was cancelled."""


class UpgradePending(PalletError):
    """A change of rules is already authorised."""

    index = 0


class UpgradeTooSoon(PalletError):
    """The height is closer than the notice that node operators get."""

    index = 1


class SpecVersionNotNewer(PalletError):
    """The spec version must be above the one in force."""

    index = 2


class NoUpgradePending(PalletError):
    """There is nothing to cancel, or it is too late to."""

    index = 3


class System(Pallet):
    """Accounts and the facts of the block being executed.

    Facts that the executive sets at the start of each block, before any hook: `number`, `slot`, `slot_ms`, `now_ms`,
    `parent_slot`, `genesis_hash`, `block_author`.
    """

    name, index = "System", 0
    events = (
        ExtrinsicSuccess,
        ExtrinsicFailed,
        CodeUpdated,
        NewAccount,
        KilledAccount,
        Remarked,
        UpgradeAuthorized,
        UpgradeCancelled,
    )
    errors = (UpgradePending, UpgradeTooSoon, SpecVersionNotNewer, NoUpgradePending)

    def __init__(self, state: State, registry: Registry, slot_ms: int = 2000) -> None:
        super().__init__(state, registry)
        self.accounts: Map[bytes, AccountInfo] = self.map(
            "Account", AccountId, AccountInfo, NO_ACCOUNT, "The full account information for an account."
        )
        self.block_hashes: Map[int, bytes] = self.map(
            "BlockHash", U32, Hash, ZERO_HASH, "Hashes of the latest blocks by height.", hasher=TWOX
        )
        self.number_value: Value[int] = self.value("Number", U32, 0, "The current block number.")
        self.parent_hash_value: Value[bytes] = self.value("ParentHash", Hash, ZERO_HASH, "Hash of the parent.")
        self.digest_value: Value[Digest] = self.value("Digest", Digest, Digest(), "Digest of the current block.")
        self.events_value: Value[Any] = self.value("Events", EventRecords, (), "Events of the current block.")
        self.last_upgrade: Value[LastRuntimeUpgradeInfo | None] = self.value(
            "LastRuntimeUpgrade", LastRuntimeUpgradeInfo, None, "The rules the last block ran under."
        )
        self.authorized_upgrade: Value[AuthorizedUpgrade | None] = self.value(
            "AuthorizedUpgrade", AuthorizedUpgrade, None, "The change of rules that is coming, if any."
        )
        self.slot_ms_value: Value[int] = self.value("SlotDuration", U32, 2000, "Length of a slot in milliseconds.")
        self.constant("BlockHashCount", U32, BLOCK_HASH_COUNT, "Block hashes kept.")
        self.constant("SS58Prefix", U16, 42, "The address prefix.")
        self._successes: dict[tuple[int, int, int], ExtrinsicSuccess] = {}
        self.number = 0
        self.slot = 0
        self.parent_slot = 0
        self.slot_ms = slot_ms
        self.now_ms = 0
        self.genesis_hash = ZERO_HASH
        self.block_author: bytes | None = None

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`slotMs`: length of a slot, 100..60,000 ms, for ever; read before this runtime was made."""
        self.slot_ms_value.put(self.slot_ms)

    def open_block(self, number: int, parent_hash: bytes, digest: Digest) -> None:
        """Write the facts of a new block; the oldest block hash goes."""
        self.number = number
        self.number_value.put(number)
        self.parent_hash_value.put(parent_hash)
        self.block_hashes.put(number - 1, parent_hash)
        if number > BLOCK_HASH_COUNT:
            self.block_hashes.remove(number - 1 - BLOCK_HASH_COUNT)
        self.digest_value.put(digest)

    def close_block(self) -> Digest:
        """Store the events; returns the digest, which the header holds from here on."""
        digest = self.digest_value.get()
        self.digest_value.remove()
        self.events_value.put(tuple(self.state.events))
        return digest

    def check_events(self, first: int) -> None:
        """Encode the events from number `first` on, which is else done at the end of the block."""
        self.events_value.codec.encode(tuple(self.state.events[first:]))

    def note_upgrade(self, spec_version: int) -> None:
        """The rules of `spec_version` are in force from this block on."""
        self.last_upgrade.put(LastRuntimeUpgradeInfo(spec_version, "heddle"))
        self.authorized_upgrade.remove()
        self.emit(CodeUpdated())

    def note_applied(self, definition: CallDefinition, weight_ps: int, failure: DispatchErrorValue | None) -> None:
        """Emit the outcome of an extrinsic."""
        key = (definition.pallet_index, definition.index, weight_ps)
        success = self._successes.get(key)
        if success is None:
            pays = Pays.YES if definition.pays_fee else Pays.NO
            success = ExtrinsicSuccess(DispatchEventInfo(Weight(weight_ps), definition.dispatch_class, pays))
            if len(self._successes) < SUCCESSES_MAX:
                self._successes[key] = success
        self.emit(success if failure is None else ExtrinsicFailed(failure, success.dispatch_info))

    def deposit_log(self, item: DigestItem) -> None:
        """Add an item to the digest of the block being executed."""
        digest = self.digest_value.get()
        self.digest_value.put(Digest((*digest.logs, item)))

    def block_hash(self, number: int) -> bytes:
        """The hash of an ancestor; zeros if it is not kept any more."""
        return self.block_hashes.get(number)

    def charge(self, who: bytes, amount: int) -> None:
        """Count one transaction of `who` and take its fee; the caller made sure that the account can pay."""
        info = self.accounts.get(who)
        data = info.data
        paid = AccountData(data.free - amount, data.reserved, data.frozen, data.flags) if amount else data
        self.accounts.put(who, AccountInfo(info.nonce + 1, info.consumers, info.providers, info.sufficients, paid))

    def set_data(self, who: bytes, data: AccountData) -> None:
        """Replace the balances of `who`, for Balances. An empty entry without nonce disappears."""
        self.replace_data(who, self.accounts.find(who), data)

    def replace_data(self, who: bytes, info: AccountInfo | None, data: AccountData) -> None:
        """`set_data` for a caller that has just read the account as `info`."""
        if info is None:
            if data.free or data.reserved:
                self.accounts.put(who, AccountInfo(0, 0, 1, 0, data))
                self.emit(NewAccount(who))
            return
        if not data.free and not data.reserved and not info.nonce:
            self.accounts.remove(who)
            self.emit(KilledAccount(who))
            return
        self.accounts.put(who, AccountInfo(info.nonce, info.consumers, info.providers, info.sufficients, data))

    @call(index=0, weight=Cost(reads=0, writes=0, extra_us=10), dispatch_class=DispatchClass.NORMAL)
    def remark(self, origin: Signed, remark: Annotated[bytes, Bounded(REMARK_BYTES_MAX)]) -> None:
        """Make some on-chain remark that changes nothing."""

    @call(index=7, weight=Cost(reads=0, writes=0, extra_us=50))
    def remark_with_event(self, origin: Signed, remark: Annotated[bytes, Bounded(REMARK_BYTES_MAX)]) -> None:
        """Make some on-chain remark and emit its hash."""
        self.emit(Remarked(origin.who, blake2b256(remark)))

    @call(index=11, weight=Cost(reads=1, writes=1), dispatch_class=DispatchClass.OPERATIONAL)
    def authorize_upgrade(self, origin: Root, spec_version: U32, height: U32) -> None:
        """Authorise the rules of `spec_version` from block `height` on (spec/chain.md (d))."""
        if self.authorized_upgrade.get() is not None:
            raise UpgradePending
        if height < self.number + UPGRADE_NOTICE_BLOCKS:
            raise UpgradeTooSoon
        if spec_version <= self.state.spec:
            raise SpecVersionNotNewer
        self.authorized_upgrade.put(AuthorizedUpgrade(spec_version, height))
        self.emit(UpgradeAuthorized(spec_version, height))

    @call(index=12, weight=Cost(reads=1, writes=1), dispatch_class=DispatchClass.OPERATIONAL)
    def cancel_upgrade(self, origin: Root) -> None:
        """Cancel the pending change of rules, until shortly before its height."""
        pending = self.authorized_upgrade.get()
        if pending is None or self.number > pending.height - UPGRADE_CANCEL_BLOCKS:
            raise NoUpgradePending
        self.authorized_upgrade.remove()
        self.emit(UpgradeCancelled())
