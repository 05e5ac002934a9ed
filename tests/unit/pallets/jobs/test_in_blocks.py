"""A job through the whole runtime: signed calls in blocks, authored and re-executed, the state encoded in between."""

from dataclasses import replace

from node.keys.pair import Pair, dev_pair
from pallets.balances import UNIT
from pallets.jobs.records import JobState, JobSucceeded
from runtime.chain_spec import local_spec
from runtime.dev_accounts import dev_validator
from runtime.errors import ModuleValue
from runtime.pallet import RuntimeCall
from tests.helpers.dict_chain import DictChain
from tests.helpers.job_world import ADVERT, job_spec, success

ALICE, BOB, CHARLIE, DAVE = (dev_pair(name) for name in ("Alice", "Bob", "Charlie", "Dave"))
FIRST_SLOT = 1_700_000_000
SLOT_MS = 1_000


class Blocks:
    """A chain of //Alice's with two processors; each `block` holds the calls it is given."""

    def __init__(self) -> None:
        self.chain = DictChain(local_spec([dev_validator("Alice")], SLOT_MS), [ALICE])
        self.slot = FIRST_SLOT
        self.nonces: dict[bytes, int] = {}
        for pair in (CHARLIE, DAVE):
            self.block((pair, self.call("Processors", "register", 1)))
            self.block((pair, self.call("Processors", "stake", UNIT)))
            self.block((pair, self.call("Processors", "advertise", ADVERT)))

    def call(self, pallet: str, name: str, *arguments: object) -> RuntimeCall:
        """A call by its names."""
        return self.chain.call(pallet, name, *arguments)

    def block(self, *calls: tuple[Pair, RuntimeCall]) -> dict[int, object]:
        """One block with these signed calls; the failures by position."""
        raws = []
        for pair, call in calls:
            nonce = self.nonces.get(pair.public, 0)
            self.nonces[pair.public] = nonce + 1
            raws.append(self.chain.signed(pair, nonce, call))
        self.slot += 1
        executed = self.chain.block(self.slot, *raws)
        return dict(executed.failures)


def test_a_job_is_registered_matched_run_and_settled_in_blocks_that_import_alike() -> None:
    """The chain itself matches; both processors act by signed extrinsics; DONE within twenty slots."""
    blocks = Blocks()
    spec = job_spec((blocks.slot + 4) * SLOT_MS)
    assert not blocks.block((BOB, blocks.call("Jobs", "register", spec)))
    runtime = blocks.chain.look()
    for _ in range(6):
        if runtime.jobs.jobs.get(0).state is JobState.MATCHED:
            break
        blocks.block()
        runtime = blocks.chain.look()
    pairs = {pair.public: pair for pair in (CHARLIE, DAVE)}
    holders = [pairs[runtime.jobs.slot(0, number).processor or b""] for number in (0, 1)]
    acks = [(pair, blocks.call("Jobs", "acknowledge", 0, n, 0, None)) for n, pair in enumerate(holders)]
    assert not blocks.block(*acks)
    while blocks.slot < FIRST_SLOT + 10:
        blocks.block()
    starts = [(pair, blocks.call("Jobs", "started", 0, 0, n, 0, 1)) for n, pair in enumerate(holders)]
    assert not blocks.block(*starts)
    reports = [(pair, blocks.call("Jobs", "report", 0, 0, n, 0, 1, success())) for n, pair in enumerate(holders)]
    assert not blocks.block(*reports)
    runtime = blocks.chain.look()
    assert runtime.jobs.jobs.get(0).end == JobSucceeded()
    assert runtime.escrow.ledgers.get(0).paid == 2 * UNIT
    assert blocks.slot < FIRST_SLOT + 20


def test_a_refused_registration_is_a_module_error_of_jobs_with_its_field() -> None:
    """Pallet 22, the error's index, the field in the second byte; nonce and fee are gone, nothing else."""
    blocks = Blocks()
    spec = job_spec((blocks.slot + 4) * SLOT_MS)
    failures = blocks.block((BOB, blocks.call("Jobs", "register", replace(spec, gas_per_delivery=1))))
    failure = failures[1]
    assert isinstance(failure, ModuleValue)
    runtime = blocks.chain.look()
    assert (failure.module.index, failure.module.error[:2]) == (22, bytes((0, 20)))
    assert runtime.error_name(failure) == "Jobs.NotYetSupported"
    assert runtime.jobs.next_job.get() == 0
