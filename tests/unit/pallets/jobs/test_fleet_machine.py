"""A Hypothesis machine plays managers and processors: pairings, sponsoring, recovery, leaving and coming back."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from nacl.signing import SigningKey

from pallets.processors.pallet import PAIRING_MS_MAX
from pallets.processors.types import PairingProof, pairing_message
from runtime.errors import DispatchError
from runtime.hashing import blake2b256
from tests.helpers.job_world import ALICE, HDL, PROCESSORS, SLOT_MS, World
from tests.helpers.machine_runs import Record, run_machine

PLAYERS = PROCESSORS[:3]
KEYS = {bytes(key.verify_key): key for key in (SigningKey(blake2b256(name)) for name in (b"first", b"second"))}
MANAGERS = tuple(KEYS)
who = st.sampled_from(PLAYERS)
anyone = st.sampled_from((*PLAYERS, *MANAGERS, ALICE))
managers = st.sampled_from(MANAGERS)


class FleetMachine(RuleBasedStateMachine):
    """Calls in any order by anyone. A proof is shown by anyone at any time, and must work once at most."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        for manager in MANAGERS:
            self.world.balances.issue(manager, 100 * HDL)
        for player in PLAYERS:
            self.world.call("Processors", "register", player, 1)
        self.issued = self.world.balances.total_issuance()
        self.proofs: list[tuple[bytes, PairingProof]] = []
        self.used: set[int] = set()
        self.spent = 0

    def attempt(self, name: str, signer: bytes, *arguments: object) -> bool:
        """Make a call; a refused one must change nothing."""
        before = self.world.state.mark()
        try:
            self.world.call("Processors", name, signer, *arguments)
        except DispatchError:
            assert self.world.state.mark() == before
            return False
        return True

    @rule(processor=who, manager=managers, ahead=st.integers(1, 2), minutes=st.sampled_from([1, 240]))
    def sign(self, processor: bytes, manager: bytes, ahead: int, minutes: int) -> None:
        """A manager signs a proof, which need not be used."""
        record = self.world.processors.records.find(processor)
        counter = ahead + (record.pairing_counter if record else 0)
        expires = self.world.system.now_ms + minutes * 60_000
        message = pairing_message(self.world.system.genesis_hash, processor, manager, counter, expires)
        proof = PairingProof(manager, counter, expires, 0, KEYS[manager].sign(message).signature)
        self.proofs.append((processor, proof))

    @rule(number=st.integers(0, 50), other=who, honest=st.booleans())
    def pair(self, number: int, other: bytes, honest: bool) -> None:
        """Somebody shows a proof: only the processor it names, only once, only in its time."""
        if not self.proofs:
            return
        number %= len(self.proofs)
        processor, proof = self.proofs[number]
        signer = processor if honest else other
        if self.attempt("pair", signer, proof):
            assert signer == processor
            assert number not in self.used, "a proof was used twice"
            assert self.world.system.now_ms <= proof.expires_ms
            self.used.add(number)

    @rule(signer=anyone, processor=who)
    def unpair(self, signer: bytes, processor: bytes) -> None:
        """Only by the two whom it concerns."""
        record = self.world.processors.records.find(processor)
        manager = None if record is None else record.manager
        if self.attempt("unpair", signer, processor):
            assert signer in (processor, manager)

    @rule(processor=who)
    def leave_or_come(self, processor: bytes) -> None:
        """A processor deregisters, or registers anew."""
        if not self.attempt("deregister", processor):
            self.attempt("register", processor, 2)

    @rule(number=st.integers(0, 50))
    def start_afresh(self, number: int) -> None:
        """A processor gets rid of its record in order to use an old proof again."""
        if self.used:
            used = sorted(self.used)[number % len(self.used)]
            processor, proof = self.proofs[used]
            for name, arguments in (("unpair", (processor,)), ("deregister", ()), ("register", (1,))):
                self.attempt(name, processor, *arguments)
            assert not self.attempt("pair", processor, proof)

    @rule(processor=who, name=st.sampled_from(["advertise", "delete_advertisement", "withdraw_unbonded"]))
    def advert(self, processor: bytes, name: str) -> None:
        """An advert comes or goes."""
        self.attempt(name, processor, *((self.world.advert(),) if name == "advertise" else ()))

    @rule(processor=who, name=st.sampled_from(["stake", "unstake"]), amount=st.integers(0, 5))
    def stake(self, processor: bytes, name: str, amount: int) -> None:
        """A stake goes up or down."""
        self.attempt(name, processor, amount * HDL)

    @rule(signer=anyone, era_max=st.sampled_from([0, 1, HDL, 10**30]))
    def sponsor(self, signer: bytes, era_max: int) -> None:
        """Anyone may say that he pays."""
        self.attempt("sponsor", signer, era_max)

    @rule(processor=who, fee=st.sampled_from([10**8, HDL // 4]), count=st.sampled_from([1, 40]))
    def beat(self, processor: bytes, fee: int, count: int) -> None:
        """Heartbeats as the executive charges them: a sponsor pays what its budget allows, and it is the manager."""
        pallet = self.world.processors
        definition = self.world.runtime.definition("Processors", "heartbeat")
        for _ in range(count):
            sponsor = pallet.sponsor_of(processor, definition, fee)
            if sponsor is None:
                return
            assert sponsor == pallet.record_of(processor).manager
            terms, budget = pallet.sponsors.get(sponsor), pallet.sponsor_budget(sponsor)
            assert fee <= budget <= terms.era_max
            self.world.balances.withdraw(sponsor, fee)
            self.world.balances.issuance.put(self.world.balances.total_issuance() - fee)
            self.spent += fee
            pallet.note_sponsored(processor, sponsor, fee)

    @rule(signer=anyone, processor=who, amount=st.sampled_from([0, HDL, 5_000 * HDL, 20_000 * HDL]))
    def recover(self, signer: bytes, processor: bytes, amount: int) -> None:
        """Only the manager, and the processor keeps its account."""
        if self.attempt("recover_funds", signer, processor, amount):
            assert self.world.processors.manager_of(processor) == signer
            assert self.world.balances.free(processor) >= self.world.balances.existential_deposit

    @rule(count=st.sampled_from([1, 30]), gap=st.sampled_from([1, PAIRING_MS_MAX // SLOT_MS + 1]))
    def time_passes(self, count: int, gap: int) -> None:
        """Blocks, or one after a long time."""
        self.world.slots(count if gap == 1 else 1, gap=gap)

    @invariant()
    def all_agree(self) -> None:
        """Every pallet's invariant; no money came or went but fees; the fleet is what the records say."""
        self.world.check()
        assert self.world.balances.total_issuance() == self.issued - self.spent
        pallet = self.world.processors
        paired = {(record.manager, one) for one, record in pallet.records.items() if record.manager is not None}
        assert {key for key, _ in pallet.fleet.items()} == paired
        self.world.state.undo.clear()


@pytest.mark.deadline(300)
def test_fleets_hold_whatever_anyone_does(record_property: Record) -> None:
    """No proof works twice, nobody spends what is not his, and every invariant holds after each step."""
    run_machine(FleetMachine, record_property)
