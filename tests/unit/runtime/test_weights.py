"""Weights: what calls declare covers what they touch, and the unused part comes back."""

from functools import partial

from node.keys.pair import dev_pair
from pallets.jobs.types import RuntimeKind
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from runtime.weight import cost_ps
from tests.helpers.dict_chain import DictChain
from tests.helpers.job_world import ALICE, MATCHER, World, account

SLOTS = 64
HDL = 10**12


class MeasuringWorld(World):
    """A world that notes, for each kind of call, the most reads and distinct changed keys of one."""

    def __init__(self) -> None:
        self.changed: dict[str, int] = {}
        self.read: dict[str, int] = {}
        super().__init__(balance=100_000 * HDL)

    def call(self, pallet: str, name: str, who: bytes, *arguments: object) -> None:
        """Dispatch, and note the keys in the undo list."""
        mark, reads = len(self.state.undo), self.state.reads
        super().call(pallet, name, who, *arguments)
        keys = {key for key, _ in self.state.undo[mark:]}
        label = f"{pallet}.{name}"
        self.read[label] = max(self.read.get(label, 0), self.state.reads - reads)
        self.changed[label] = max(self.changed.get(label, 0), len(keys))


def matched(world: World, job: int) -> bool:
    """Whether every slot has an offer."""
    return not world.job(job).vacant


def test_the_heaviest_job_stays_within_the_declared_weights() -> None:
    """A job on 64 processors, acknowledged, started, reported and cancelled: no call changes more keys than it pays."""
    world = MeasuringWorld()
    processors = [account(f"processor number {number}") for number in range(SLOTS)]
    for processor in processors:
        world.balances.issue(processor, 10_000 * HDL)
        world.offer_capacity(processor)
    jobs = [world.register(spec=world.spec(slots=SLOTS)) for _ in range(2)]
    world.slots(3)
    for job in jobs:
        placements = tuple(world.placement(number, who) for number, who in enumerate(processors))
        world.call("Matching", "propose", MATCHER, job, placements)
    for job in jobs:
        world.until(partial(matched, world, job))
        for number in range(SLOTS):
            world.acknowledge(job, number)
    for number in range(SLOTS):
        world.run(jobs[0], 0, number)
        if number % 2:
            world.start(jobs[1], 0, number)
    world.call("Jobs", "cancel", ALICE, jobs[1])
    world.check()
    for label, keys in world.changed.items():
        pallet, name = label.split(".")
        weight = world.runtime.definition(pallet, name).weight_ps
        if isinstance(weight, int):
            assert weight >= cost_ps(reads=0, writes=keys), f"{label} changed {keys} keys"


def test_calls_of_processors_pay_for_the_keys_they_touch() -> None:
    """The widest adverts, in the middle of every list, and stakes in eight parts: reads and changes are declared."""
    world = MeasuringWorld()
    kinds = tuple(RuntimeKind)
    processors = [account(f"one of seven {number}") for number in range(7)]
    for who in processors:
        world.balances.issue(who, 1_000 * HDL)
        world.call("Processors", "register", who, 1)
        world.call("Processors", "stake", who, 40 * HDL)
    for turn, kind in enumerate(kinds):
        world.call("Processors", "advertise", processors[turn], world.advert(runtimes=kinds))
        world.call("Processors", "advertise", processors[-1], world.advert(runtimes=(kind,)))
    first = processors[0]
    for runtimes in (kinds[:1], kinds):
        world.call("Processors", "advertise", first, world.advert(runtimes=runtimes))
    for _ in range(8):
        world.call("Processors", "unstake", first, HDL)
    world.call("Processors", "stake", first, HDL)
    world.slots(60)
    world.call("Processors", "withdraw_unbonded", first)
    world.call("Processors", "heartbeat", first, 2)
    world.call("Processors", "delete_advertisement", first)
    world.call("Processors", "unstake", first, 33 * HDL)
    world.pair(first, "a manager")
    manager = world.manager("a manager")
    world.call("Processors", "sponsor", manager, HDL)
    world.call("Processors", "recover_funds", manager, first, HDL)
    world.slots(60)
    world.call("Processors", "withdraw_unbonded", first)
    world.slots(1, gap=5 * 3_600)
    world.call("Processors", "deregister", first)
    world.check()
    assert {label for label in world.changed if label.startswith("Processors.")} >= {"Processors.deregister"}
    for label, keys in world.changed.items():
        weight = world.runtime.definition(*label.split(".")).weight_ps
        assert isinstance(weight, int)
        assert weight >= cost_ps(world.read[label], keys), f"{label}: {world.read[label]} reads, {keys} keys"


def test_what_a_refundable_call_did_not_use_comes_back() -> None:
    """Cancelling a job that does not exist pays for the look, not for ending a job with 64 slots."""
    alice, bob = dev_pair("Alice"), dev_pair("Bob")
    chain = DictChain(local_spec([dev_validator("Alice")], 2_000), [alice])
    cancel = chain.call("Jobs", "cancel", 7)
    raw = chain.signed(bob, 0, cancel)
    runtime = chain.look()
    declared = runtime.transaction_payment.fee(len(raw), cancel.weight_ps)
    empty = runtime.transaction_payment.fee(len(raw), cost_ps(0, 0))
    before = runtime.balances.free(bob.public)
    chain.block(1_000, raw)
    paid = before - chain.look().balances.free(bob.public)
    assert empty < paid < declared // 10
