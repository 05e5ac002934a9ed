"""Stakes: what is bonded, what unbonds, what is slashed, and the units that follow from it."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pallets.balances import Burned, HoldReason
from pallets.jobs.types import RuntimeKind
from pallets.processors import errors
from pallets.processors.events import StakeSlashed, StakeWithdrawn, Unstaked
from pallets.processors.store import UNITS_MAX
from pallets.processors.types import UNBONDING_MAX, Stake, Unbonding
from runtime.errors import DispatchError, InvariantBroken, TokenError
from tests.helpers.job_world import ALICE, HDL, PARAMETERS, PROCESSORS, World
from tests.helpers.machine_runs import Record, run_machine

ONE, TWO, THREE = PROCESSORS[:3]
UNBOND_SLOTS = PARAMETERS["processors"]["unbondSlots"]
WASM, PYTHON, JAVASCRIPT = RuntimeKind.WASM, RuntimeKind.PYTHON, RuntimeKind.JAVASCRIPT


def registered(*processors: bytes) -> World:
    """A world in which these are registered and nothing else."""
    world = World()
    for who in processors:
        world.call("Processors", "register", who, 1)
    return world


def test_stake_is_held_and_counts_by_whole_units() -> None:
    """A planck below the unit is none, a unit is one, and no stake makes more than UNITS_MAX."""
    world = registered(ONE)
    world.call("Processors", "stake", ONE, HDL - 1)
    assert (world.processors.units(ONE), world.processors.stake_of(ONE)) == (0, HDL - 1)
    world.call("Processors", "stake", ONE, 1)
    assert world.processors.units(ONE) == 1
    assert world.balances.held(ONE, HoldReason.STAKE) == HDL
    world.call("Processors", "stake", ONE, 500 * HDL)
    assert world.processors.units(ONE) == UNITS_MAX
    world.check()


def test_only_processors_stake_and_only_what_they_have() -> None:
    """NotRegistered, ZeroAmount, and the existential deposit stays free."""
    world = registered(ONE)
    assert world.refuses("Processors", "stake", ALICE, HDL) is errors.NotRegistered
    assert world.refuses("Processors", "stake", ONE, 0) is errors.ZeroAmount
    free = world.balances.free(ONE)
    assert world.refuses("Processors", "stake", ONE, free) is TokenError
    assert world.processors.stakes.get(ONE) == Stake(0, ())
    assert world.refuses("Processors", "stake", ONE, free - world.balances.existential_deposit) is None
    world.check()


def test_unstaked_counts_no_more_at_once_and_is_free_after_the_unbonding_time() -> None:
    """One slot too early nothing is free; then it is, once."""
    world = registered(ONE)
    world.call("Processors", "stake", ONE, 5 * HDL)
    world.call("Processors", "unstake", ONE, 2 * HDL)
    assert world.processors.units(ONE) == 3
    assert world.balances.held(ONE, HoldReason.STAKE) == 5 * HDL
    assert world.events(Unstaked) == [Unstaked(ONE, 2 * HDL, world.agenda.now() + UNBOND_SLOTS)]
    world.slots(UNBOND_SLOTS - 1)
    assert world.refuses("Processors", "withdraw_unbonded", ONE) is errors.NothingToWithdraw
    world.slots(1)
    world.call("Processors", "withdraw_unbonded", ONE)
    assert world.events(StakeWithdrawn) == [StakeWithdrawn(ONE, 2 * HDL)]
    assert world.balances.held(ONE, HoldReason.STAKE) == 3 * HDL
    assert world.refuses("Processors", "withdraw_unbonded", ONE) is errors.NothingToWithdraw
    world.check()


def test_an_outage_of_the_chain_does_not_shorten_the_unbonding_time() -> None:
    """It is measured in A: a hundred slots without a block are three."""
    world = registered(ONE)
    world.call("Processors", "stake", ONE, HDL)
    world.call("Processors", "unstake", ONE, HDL)
    world.slots(1, gap=100)
    assert world.refuses("Processors", "withdraw_unbonded", ONE) is errors.NothingToWithdraw
    world.slots(UNBOND_SLOTS - 3)
    assert world.refuses("Processors", "withdraw_unbonded", ONE) is None


def test_no_more_is_unstaked_than_is_bonded_and_the_parts_are_bounded() -> None:
    """InsufficientStake, ZeroAmount, TooManyUnbonding; withdrawing makes room again."""
    world = registered(ONE)
    assert world.refuses("Processors", "unstake", ALICE, 1) is errors.InsufficientStake
    world.call("Processors", "stake", ONE, 10 * HDL)
    assert world.refuses("Processors", "unstake", ONE, 10 * HDL + 1) is errors.InsufficientStake
    assert world.refuses("Processors", "unstake", ONE, 0) is errors.ZeroAmount
    for _ in range(UNBONDING_MAX):
        world.call("Processors", "unstake", ONE, HDL)
    assert world.refuses("Processors", "unstake", ONE, HDL) is errors.TooManyUnbonding
    world.slots(UNBOND_SLOTS)
    world.call("Processors", "withdraw_unbonded", ONE)
    assert world.refuses("Processors", "unstake", ONE, HDL) is None
    world.check()


def test_slashing_takes_the_bonded_first_then_the_latest_unbonding_and_burns_it() -> None:
    """4 bonded, 3 then 2 unbonding: 4.5 takes all bonded and half an HDL of the 2; asking for all gets what is left."""
    world = registered(ONE)
    world.call("Processors", "stake", ONE, 9 * HDL)
    world.call("Processors", "unstake", ONE, 3 * HDL)
    world.call("Processors", "unstake", ONE, 2 * HDL)
    issued, free_at = world.balances.total_issuance(), world.agenda.now() + UNBOND_SLOTS
    assert world.processors.slash_stake(ONE, 9 * HDL // 2) == 9 * HDL // 2
    left = (Unbonding(3 * HDL, free_at), Unbonding(3 * HDL // 2, free_at))
    assert world.processors.stakes.get(ONE) == Stake(0, left)
    assert world.balances.total_issuance() == issued - 9 * HDL // 2
    world.check()
    assert world.processors.slash_stake(ONE, 1_000 * HDL) == 9 * HDL // 2
    assert world.processors.slash_stake(ONE, 1) == 0
    assert [event.amount for event in world.events(StakeSlashed)] == [9 * HDL // 2] * 2
    assert len(world.events(Burned)) == 2
    assert not list(world.processors.stakes.items())
    world.check()


def test_the_units_of_a_runtime_follow_adverts_and_stakes() -> None:
    """Totals change with advertise, its change, its end, stake, unstake and slash; without an advert nothing counts."""
    world = registered(ONE, TWO)
    total = world.processors.total_units
    world.call("Processors", "stake", ONE, 5 * HDL)
    assert total(WASM) == 0
    world.call("Processors", "advertise", ONE, world.advert(runtimes=(WASM, PYTHON)))
    world.call("Processors", "advertise", TWO, world.advert(runtimes=(WASM,)))
    world.call("Processors", "stake", TWO, 3 * HDL)
    assert (total(WASM), total(PYTHON)) == (8, 5)
    world.call("Processors", "advertise", ONE, world.advert(runtimes=(PYTHON, JAVASCRIPT)))
    assert (total(WASM), total(PYTHON), total(JAVASCRIPT)) == (3, 5, 5)
    world.call("Processors", "unstake", ONE, 2 * HDL)
    world.processors.slash_stake(ONE, HDL)
    assert (total(PYTHON), total(JAVASCRIPT)) == (2, 2)
    world.call("Processors", "delete_advertisement", ONE)
    assert (total(WASM), total(PYTHON)) == (3, 0)
    world.check()


def test_check_state_sees_a_wrong_total_and_a_stake_that_is_not_held() -> None:
    """The invariant can fail, either way."""
    world = registered(ONE)
    world.call("Processors", "advertise", ONE, world.advert())
    world.call("Processors", "stake", ONE, HDL)
    world.processors.unit_totals.put(WASM, 2)
    with pytest.raises(InvariantBroken):
        world.processors.check_state()
    world.processors.unit_totals.put(WASM, 1)
    world.processors.check_state()
    world.balances.release(ONE, HoldReason.STAKE, 1)
    with pytest.raises(InvariantBroken):
        world.processors.check_state()


@pytest.mark.parametrize("section", [{"stakeUnit": 0}, {"unbondSlots": 0}, {"unbondSlots": (1 << 32) + 1}])
def test_a_chain_spec_sets_unit_and_unbonding_within_bounds(section: dict[str, int]) -> None:
    """A unit of nothing would be a division by zero, no unbonding no stake at all."""
    with pytest.raises(ValueError, match=r"processors\."):
        World().processors.genesis(section)


PLAYERS = PROCESSORS[:3]
amounts = st.integers(0, 80).map(lambda halves: halves * HDL // 2)


class StakeMachine(RuleBasedStateMachine):
    """Stakes, adverts and slashes by anyone in any order, beside a model of who has what bonded."""

    def __init__(self) -> None:
        super().__init__()
        self.world = registered(*PLAYERS)
        self.bonded = dict.fromkeys(PLAYERS, 0)
        self.burned = 0
        self.issued = self.world.balances.total_issuance()

    def attempt(self, name: str, signer: bytes, *arguments: object) -> bool:
        """Make a call; a refused one must change nothing."""
        before = self.world.state.mark()
        try:
            self.world.call("Processors", name, signer, *arguments)
        except DispatchError:
            assert self.world.state.mark() == before
            return False
        return True

    @rule(who=st.sampled_from(PLAYERS), amount=amounts)
    def stake(self, who: bytes, amount: int) -> None:
        """More at stake."""
        if self.attempt("stake", who, amount):
            self.bonded[who] += amount

    @rule(who=st.sampled_from(PLAYERS), amount=amounts)
    def unstake(self, who: bytes, amount: int) -> None:
        """Some of it back."""
        if self.attempt("unstake", who, amount):
            self.bonded[who] -= amount

    @rule(who=st.sampled_from((*PLAYERS, ALICE)))
    def withdraw(self, who: bytes) -> None:
        """What is free."""
        self.attempt("withdraw_unbonded", who)

    @rule(who=st.sampled_from((*PLAYERS, ALICE)), amount=amounts)
    def slash(self, who: bytes, amount: int) -> None:
        """A verdict."""
        got = self.world.processors.slash_stake(who, amount)
        assert got <= amount
        self.burned += got
        if who in self.bonded:
            self.bonded[who] = max(0, self.bonded[who] - amount)

    @rule(who=st.sampled_from(PLAYERS), runtimes=st.sets(st.sampled_from(RuntimeKind), min_size=1))
    def advertise(self, who: bytes, runtimes: set[RuntimeKind]) -> None:
        """A new advert or another one."""
        chosen = tuple(kind for kind in RuntimeKind if kind in runtimes)
        assert self.attempt("advertise", who, self.world.advert(runtimes=chosen))

    @rule(who=st.sampled_from(PLAYERS))
    def withdraw_advert(self, who: bytes) -> None:
        """No advert any more."""
        self.attempt("delete_advertisement", who)

    @rule(count=st.sampled_from((1, 7, UNBOND_SLOTS)))
    def time_passes(self, count: int) -> None:
        """Blocks."""
        self.world.slots(count)

    @invariant()
    def the_chain_agrees_with_the_model(self) -> None:
        """What is bonded, what is burned, and every pallet's own invariant."""
        for who, amount in self.bonded.items():
            assert self.world.processors.stake_of(who) == amount
        assert self.world.balances.total_issuance() == self.issued - self.burned
        self.world.check()
        self.world.state.undo.clear()


@pytest.mark.deadline(300)
def test_stakes_hold_whatever_anyone_does(record_property: Record) -> None:
    """Random calls and slashes: the totals of units, the holds and the issuance follow each step."""
    run_machine(StakeMachine, record_property)
