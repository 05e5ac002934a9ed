"""Session, Aura, Grandpa and Beacon together against a simple model, over random slots, keys and elections."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pallets.session import ERA_SESSIONS
from pallets.session_keys import SessionKeys
from runtime.beacon import CHAIN_LENGTH, next_mix
from runtime.pallet import Root
from runtime.types import AURA_ENGINE, GRANDPA_ENGINE, ZERO_HASH, Consensus
from tests.helpers.pallet_chain import FIRST_SLOT, SESSION_SLOTS, PalletChain, Validator

NAMES = "abcde"
GENERATIONS = 3
POOL = {(name, generation): Validator(name, generation) for name in NAMES for generation in range(GENERATIONS)}
ACCOUNTS = {name: POOL[name, 0].account for name in NAMES}
SKIPS = st.one_of(st.integers(1, 3), st.integers(1, 4 * SESSION_SLOTS))

Chosen = tuple[tuple[bytes, SessionKeys], ...]


@dataclass
class Model:
    """What should be, in the fewest words: who acts now, who next, and what was revealed."""

    active: Chosen
    queued: Chosen
    elected: tuple[bytes, ...]
    keys: dict[bytes, SessionKeys]
    index: int = 0
    set_id: int = 0
    slot: int = 0
    number: int = 0
    mix: bytes = ZERO_HASH
    revealed: dict[bytes, int] = field(default_factory=dict)
    changed_in: dict[bytes, int] = field(default_factory=dict)
    past: list[tuple[int, tuple[bytes, ...]]] = field(default_factory=list)

    def rotate(self, slot: int) -> bool:
        """Cross a boundary if `slot` does; whether the voters changed."""
        crossed = self.number > 0 and slot // SESSION_SLOTS > self.slot // SESSION_SLOTS
        if not crossed:
            return False
        self.index += 1
        before = [(account, keys.aura, keys.grandpa) for account, keys in self.active]
        self.active = self.queued
        self.queued = tuple((a, self.keys[a]) for a in self.elected if a in self.keys) or self.queued
        changed = before != [(account, keys.aura, keys.grandpa) for account, keys in self.active]
        self.set_id += changed
        return changed

    def owner(self, key: bytes) -> bytes | None:
        """Who registered this key."""
        found = (a for a, keys in self.keys.items() if key in (keys.aura, keys.grandpa, keys.beacon))
        return next(found, None)

    def may_change(self, account: bytes) -> bool:
        """One key change per era."""
        return self.changed_in.get(account) != self.index // ERA_SESSIONS


class Rotation(RuleBasedStateMachine):
    """Random blocks; every rule runs one whole block, whose end checks every pallet's invariant."""

    @initialize(count=st.integers(1, 4))
    def genesis(self, count: int) -> None:
        """The first `count` validators are genesis'."""
        first = [POOL[name, 0] for name in NAMES[:count]]
        self.chain = PalletChain(first, rich=list(ACCOUNTS.values()))
        for validator in POOL.values():
            self.chain.know(validator)
        active = tuple((validator.account, validator.keys) for validator in first)
        self.model = Model(active, active, tuple(ACCOUNTS[name] for name in NAMES[:count]), dict(active))

    def step(self, skip: int, *calls: Any) -> list[Any]:
        """One block `skip` slots after the last, in the chain and in the model."""
        model, chain = self.model, self.chain
        slot = model.slot + skip if model.number else FIRST_SLOT + skip
        author, keys = model.active[slot % len(model.active)]
        value = chain.reveal(slot).value
        position = CHAIN_LENGTH - 1 - model.revealed.get(keys.beacon, 0)
        assert value == chain.validators[keys.beacon].secret.values[position]
        failures = chain.block(slot, *calls)
        assert chain.system.block_author == author
        changed = model.rotate(slot)
        model.past.append((slot, tuple(account for account, _ in model.active)))
        model.slot, model.number = slot, model.number + 1
        model.revealed[keys.beacon] = model.revealed.get(keys.beacon, 0) + 1
        model.mix = next_mix(model.mix, value)
        engines = [item.engine for item in chain.digest if isinstance(item, Consensus)]
        assert engines == ([AURA_ENGINE, GRANDPA_ENGINE] if changed else [])
        return failures

    @rule(skip=SKIPS)
    def empty_block(self, skip: int) -> None:
        """A block without calls."""
        self.step(skip)

    @rule(skip=st.integers(1, 3), name=st.sampled_from(NAMES), generation=st.integers(0, GENERATIONS - 1))
    def set_keys(self, skip: int, name: str, generation: int) -> None:
        """An account registers one of its key sets."""
        validator, account = POOL[name, generation], ACCOUNTS[name]
        call = self.chain.signed(account, "Session", "set_keys", validator.keys, validator.proof())
        (failure,) = self.step(skip, call)
        allowed = self.model.may_change(account)
        assert (failure is None) is allowed
        if allowed:
            self.model.keys[account] = validator.keys
            self.model.changed_in[account] = self.model.index // ERA_SESSIONS

    @rule(skip=st.integers(1, 3), name=st.sampled_from(NAMES), victim=st.sampled_from(NAMES))
    def take_anothers_keys(self, skip: int, name: str, victim: str) -> None:
        """An account shows a good proof for keys that another one registered: refused as long as that one has them."""
        account, other = ACCOUNTS[name], POOL[victim, 0]
        owner = self.model.owner(other.keys.aura)
        if owner in (None, account):
            return
        call = self.chain.signed(account, "Session", "set_keys", other.keys, other.proof(account))
        (failure,) = self.step(skip, call)
        assert failure is not None

    @rule(skip=st.integers(1, 3), name=st.sampled_from(NAMES))
    def purge_keys(self, skip: int, name: str) -> None:
        """An account gives its keys up."""
        account = ACCOUNTS[name]
        (failure,) = self.step(skip, self.chain.signed(account, "Session", "purge_keys"))
        allowed = account in self.model.keys and self.model.may_change(account)
        assert (failure is None) is allowed
        if allowed:
            del self.model.keys[account]
            self.model.changed_in.pop(account, None)

    @rule(skip=st.integers(1, 3), names=st.lists(st.sampled_from(NAMES), max_size=5))
    def elect(self, skip: int, names: list[str]) -> None:
        """Root names the validators."""
        accounts = tuple(ACCOUNTS[name] for name in names)
        (failure,) = self.step(skip, (self.chain.call("Session", "set_validators", accounts), Root()))
        distinct = bool(accounts) and len(set(accounts)) == len(accounts)
        allowed = distinct and all(account in self.model.keys for account in accounts)
        assert (failure is None) is allowed
        if allowed:
            self.model.elected = accounts

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def chain_equals_model(self) -> None:
        """Authors, voters, commitments, session, set, mix and history are the model's."""
        chain, model = self.chain, self.model
        assert chain.session.validators.get() == tuple(account for account, _ in model.active)
        assert chain.aura.authorities_for_child() == tuple(keys.aura for _, keys in model.active)
        assert chain.grandpa.authorities.get() == tuple((keys.grandpa, 1) for _, keys in model.active)
        assert chain.beacon.commitments.get() == tuple(keys.beacon for _, keys in model.active)
        assert chain.session.queued_keys.get() == model.queued
        assert chain.session.current_index.get() == model.index
        assert chain.grandpa.current_set_id.get() == model.set_id
        assert chain.beacon.randomness_at(model.number) == model.mix

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def history_names_past_members(self) -> None:
        """For every slot between two blocks the history gives who could have authored there."""
        for (slot, accounts), (following, _) in zip(self.model.past, self.model.past[1:], strict=False):
            for probe in (slot + 1, following):
                found = self.chain.grandpa.set_at_slot(probe)
                assert found is not None
                assert tuple(member.account for member in found[1].members) == accounts


RotationTest = Rotation.TestCase
RotationTest.settings = settings(max_examples=25, stateful_step_count=40)
"""Twenty-five runs of forty blocks."""
