"""Weights: what calls declare covers what they touch, and the unused part comes back."""

from dataclasses import replace
from functools import partial

from node.keys.pair import dev_pair
from pallets.jobs.bounds import LIVE_PER_SLOT_MAX
from pallets.jobs.types import InstantMatch, Lane, Queue, RuntimeKind, Schedule, Single
from pallets.processors.calendar import Capacity
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from runtime.heddle import SLOT_MS_MIN
from runtime.weight import BASE_EXTRINSIC_PS, BlockBudget, cost_ps
from tests.helpers.dict_chain import DictChain
from tests.helpers.job_world import ADVERT, ALICE, MATCHER, SCRIPT, World, account

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


def test_the_end_of_a_job_pays_for_every_run_that_it_cuts_short() -> None:
    """64 slots with four runs each, all with a checkpoint, next in a lane: cancelled, or lost to the last one."""
    lane = Lane("sequence", 1)
    for name in ("cancel", "poke"):
        world = MeasuringWorld()
        roomy = replace(ADVERT, capacity=Capacity(1 << 40, 1 << 40, 8))
        processors = [account(f"processor number {number}") for number in range(SLOTS)]
        for processor in processors:
            world.balances.issue(processor, 10_000 * HDL)
            world.offer_capacity(processor, roomy)
        start = world.system.now_ms + 5_000
        schedule = Schedule(start, start + 5 * 11_000, 11_000, 10_000, 60_000)
        job = world.register(spec=world.spec(slots=SLOTS, schedule=schedule, queue=Queue(lane=lane)))
        world.register(spec=world.spec(queue=Queue(lane=lane)))
        world.slots(3)
        placements = tuple(world.placement(number, who) for number, who in enumerate(processors))
        world.call("Matching", "propose", MATCHER, job, placements)
        world.until(partial(matched, world, job))
        for number in range(SLOTS):
            world.acknowledge(job, number)
        world.slots(40)
        for number, who in enumerate(processors):
            assert len(world.slot(job, number).live) == LIVE_PER_SLOT_MAX
            for execution in world.slot(job, number).live:
                world.call("Jobs", "started", who, job, execution, number, 0, 1)
                world.call("Jobs", "checkpoint", who, job, execution, number, 0, 1, SCRIPT)
        if name == "poke":
            # Deadlines are in A: all of them pass at once, and no block has worked any of them off.
            world.agenda.active_clock.put(world.agenda.now() + 100)
        world.call("Jobs", name, ALICE, job)
        declared = world.runtime.definition("Jobs", name).weight_ps
        assert isinstance(declared, int)
        assert declared >= cost_ps(reads=0, writes=world.changed[f"Jobs.{name}"])
        assert world.changed[f"Jobs.{name}"] > 8 * SLOTS
        world.check()


HEAVIEST = {
    "Jobs.register": World().spec(slots=SLOTS, assignment=Single((InstantMatch(ALICE, 0),) * SLOTS)),
    "Matching.propose": (0, (World.placement(0, ALICE),) * SLOTS),
    "Jobs.preempt": (0, 0, 0, 0),
}


def test_every_call_of_the_job_layer_has_room_in_the_shortest_slot() -> None:
    """With its longest lists it fits into the normal share of an empty block of the least slot there may be."""
    room = BlockBudget(SLOT_MS_MIN).normal_max_ps
    for definition in World().runtime.calls.values():
        name = f"{definition.pallet}.{definition.name}"
        assert isinstance(definition.weight_ps, int) or name in HEAVIEST, f"{name} has lists of which length?"
        arguments = HEAVIEST.get(name, ())
        weight = definition.weight_of(arguments if isinstance(arguments, tuple) else (arguments,))
        assert weight + BASE_EXTRINSIC_PS <= room, f"{name}: {weight} ps, {room} in a block"


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
