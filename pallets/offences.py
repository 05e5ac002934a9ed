"""Offences: two contradicting signatures of one validator, proved on chain.

Evidence is either two votes of one kind in one round for different targets, or two different headers sealed for one
slot. The offender is found in Grandpa.SetKeys, which keeps every set for the unbonding period, so no ownership proof is
needed (spec/chain.md (c)). Evidence comes as a bare extrinsic that the block's author places after the timestamp.

Effect: the offence is recorded once and the validator is disabled until the era ends, at most floor((n-1)/3) of them at
a time. There is no stake yet, so nothing is slashed.

Invariant (`check_state`): every recorded offence names a set that exists.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pallets.grandpa import Grandpa, Member
from pallets.session import Session
from pallets.system import System
from runtime.crypto import Scheme, verify
from runtime.errors import InvariantBroken, PalletError
from runtime.hashing import blake2b256
from runtime.pallet import Cost, Event, Inherent, Pallet, call
from runtime.scale import U32, U64, Fixed, Registry
from runtime.state import State
from runtime.storage import Map
from runtime.types import AURA_ENGINE, AccountId, Hash, Header
from runtime.weight import DispatchClass

VERIFY_TWO_US = 200


class VoteKind(Enum):
    """What a voter said; the numbers are those of the signed message."""

    PREVOTE = 0
    PRECOMMIT = 1


class OffenceKind(Enum):
    """Which rule the validator broke."""

    PREVOTE = 0
    PRECOMMIT = 1
    AUTHORING = 2


@dataclass(frozen=True, slots=True)
class SignedVote:
    """A vote's target and the voter's signature."""

    target_hash: Hash
    target_number: U32
    signature: Annotated[bytes, Fixed(64)]


@dataclass(frozen=True, slots=True)
class VoteEvidence:
    """Two votes of one kind by `voter` in one round of one set."""

    set_id: U64
    round: U64
    kind: VoteKind
    voter: Annotated[bytes, Fixed(32)]
    first: SignedVote
    second: SignedVote

    def payload(self, vote: SignedVote) -> bytes:
        """What the voter signed: SCALE(message) ‖ u64 round ‖ u64 set id."""
        message = bytes((self.kind.value,)) + vote.target_hash + vote.target_number.to_bytes(4, "little")
        return message + self.round.to_bytes(8, "little") + self.set_id.to_bytes(8, "little")


@dataclass(frozen=True, slots=True)
class Offence:
    """What is kept of a proved offence. `at` is the round of a vote, the slot of a header."""

    kind: OffenceKind
    offender: AccountId
    set_id: U64
    at: U64
    reported_at: U32


@dataclass(slots=True)
class OffenceProved(Event):
    """A validator signed two things of which it may sign one."""

    kind: OffenceKind
    offender: AccountId
    set_id: U64
    at: U64
    disabled: bool


class NotAnOffence(PalletError):
    """The two votes or headers do not contradict each other."""

    index = 0


class UnknownSet(PalletError):
    """The set is not kept: it is in the future, or older than the unbonding period."""

    index = 1


class NotAMember(PalletError):
    """The key is not a member of the set."""

    index = 2


class BadSignature(PalletError):
    """A signature does not hold. Detail: 0 the first, 1 the second."""

    index = 3


class AlreadyReported(PalletError):
    """The offence was reported before."""

    index = 4


def dedupe_hash(kind: OffenceKind, offender: bytes, set_id: int, at: int) -> bytes:
    """The identity of an offence: H(kind ‖ offender ‖ set ‖ round or slot). Also its tag in a pool."""
    return blake2b256(bytes((kind.value,)) + offender + set_id.to_bytes(8, "little") + at.to_bytes(8, "little"))


class Offences(Pallet):
    """Evidence of equivocation."""

    name, index = "Offences", 10
    events = (OffenceProved,)
    errors = (NotAnOffence, UnknownSet, NotAMember, BadSignature, AlreadyReported)

    def __init__(self, state: State, registry: Registry, system: System, grandpa: Grandpa, session: Session) -> None:
        super().__init__(state, registry)
        self.system = system
        self.grandpa = grandpa
        self.session = session
        self.offences: Map[bytes, Offence] = self.map("Offences", Hash, Offence, None, "Offences by their identity.")

    @call(index=0, weight=Cost(6, 3, VERIFY_TWO_US), dispatch_class=DispatchClass.OPERATIONAL, pays_fee=False)
    def report_votes(self, origin: Inherent, evidence: VoteEvidence) -> None:
        """Report a voter that voted twice in a round."""
        first, second = evidence.first, evidence.second
        if (first.target_hash, first.target_number) == (second.target_hash, second.target_number):
            raise NotAnOffence
        key_set = self.grandpa.set_keys.find(evidence.set_id)
        if key_set is None:
            raise UnknownSet
        member = next((member for member in key_set.members if member.grandpa == evidence.voter), None)
        if member is None:
            raise NotAMember
        for number, vote in enumerate((first, second)):
            if not verify(Scheme.ED25519, evidence.voter, evidence.payload(vote), vote.signature):
                raise BadSignature(number)
        self._record(OffenceKind(evidence.kind.value), member, evidence.set_id, evidence.round)

    @call(index=1, weight=Cost(14, 3, VERIFY_TWO_US), dispatch_class=DispatchClass.OPERATIONAL, pays_fee=False)
    def report_headers(self, origin: Inherent, first: Header, second: Header) -> None:
        """Report an author that sealed two headers for one slot."""
        slot = first.slot()
        if slot is None or slot != second.slot() or first.unsealed()[0] == second.unsealed()[0]:
            raise NotAnOffence
        found = self.grandpa.set_at_slot(slot)
        if found is None or slot > self.system.slot:
            raise UnknownSet
        set_id, key_set = found
        member = key_set.members[slot % len(key_set.members)]
        for number, header in enumerate((first, second)):
            unsealed, seal = header.unsealed()
            signed = seal is not None and seal.engine == AURA_ENGINE
            if seal is None or not signed or not verify(Scheme.ED25519, member.aura, unsealed.hash(), seal.data):
                raise BadSignature(number)
        self._record(OffenceKind.AUTHORING, member, set_id, slot)

    def _record(self, kind: OffenceKind, member: Member, set_id: int, at: int) -> None:
        identity = dedupe_hash(kind, member.account, set_id, at)
        if self.offences.contains(identity):
            raise AlreadyReported
        self.offences.put(identity, Offence(kind, member.account, set_id, at, self.system.number))
        disabled = self.session.disable(member.account)
        self.emit(OffenceProved(kind, member.account, set_id, at, disabled))

    def check_state(self) -> None:
        current = self.grandpa.current_set_id.get()
        for identity, offence in self.offences.items():
            if offence.set_id > current:
                raise InvariantBroken(
                    f"offences: 0x{identity.hex()} names set {offence.set_id}, the current is {current}"
                )
