"""A burst of jobs: thousands registered at once on a real local network, followed to the last settlement, and checked.

Some jobs have a higher priority, each comes from one of a few accounts, and each gives its own input back, so that a
result on the wrong job is seen. All are followed by the events of final blocks: one request for each block, however
many jobs there are. `burst_checks` judges what was seen.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cli.accounts import pair_of
from cli.chain_client import MORTAL_BLOCKS, ChainClient, RemoteState, bytes_of
from cli.errors import CliError, TimedOut
from cli.rpc_client import RpcClient, RpcError
from node.blobs import parse_cid
from pallets.jobs import destinations, types
from runtime.address import Era
from runtime.extrinsic import sign_extrinsic
from runtime.hashing import blake2b256

if TYPE_CHECKING:
    from node.keys.pair import Pair

JOBS_PER_OWNER = 400
"""Fewer than the pool takes from one account (512), and than one may have live (1,000)."""
OWNERS_MIN = 3
URGENT_EVERY = 10
URGENT_PRIORITY = 8
CALLS_AT_ONCE = 200
"""Calls in one request: a node takes 256."""
REWARD = 10**11
DURATION_MS = 2_000
START_DELAY_MS = 3_600_000
"""So late the last of them may begin."""
MEMORY_BYTES = 16 << 20
FUEL = 1_000_000
OWNER_BUDGET = 5_000 * 10**12
FAUCET = "//Alice"
SAMPLES_MAX = 8
SAMPLE_BLOCKS = 4
"""The queue is looked at in every fourth final block, so often at most."""

ECHO = """(module
  (import "heddle" "request" (func $request (param i32 i32 i32 i32) (result i32)))
  (import "heddle" "reply" (func $reply (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "input")
  (data (i32.const 16) "output")
  (func (export "main")
    (local $length i32)
    (local.set $length (call $request (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0)))
    (local.set $length (call $reply (i32.const 1024) (i32.const 0) (local.get $length)))
    (drop (call $request (i32.const 16) (i32.const 6) (i32.const 1024) (local.get $length)))))"""
"""Gives its input back."""


@dataclass(frozen=True)
class Order:
    """One job of the burst as it was sent: by whom, with which priority and input, in which extrinsic."""

    owner: bytes
    priority: int
    input: bytes
    raw: bytes


@dataclass
class Story:
    """What final blocks told: by job id, the order it came from, and the block of each step."""

    orders: dict[int, Order] = field(default_factory=dict)
    registered: dict[int, int] = field(default_factory=dict)
    offered: dict[int, int] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    ends: dict[int, Any] = field(default_factory=dict)
    paid_fees: dict[bytes, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    queues: list["QueueSample"] = field(default_factory=list)


@dataclass(frozen=True)
class QueueSample:
    """The jobs that waited after a final block: in the chain's order, and (priority, since) of each."""

    block: int
    clock: int
    order: tuple[int, ...]
    places: Mapping[int, tuple[int, int]]


def owners_of(jobs: int) -> list["Pair"]:
    """The accounts that share the burst."""
    count = max(OWNERS_MIN, -(-jobs // JOBS_PER_OWNER))
    return [pair_of(f"//Burst//{number}") for number in range(count)]


def fund(chain: ChainClient, owners: list["Pair"], timeout_s: float) -> None:
    """Money for all owners, in one transaction that is final."""
    calls = tuple(
        chain.runtime.definition("Balances", "transfer_keep_alive")(owner.public, OWNER_BUDGET) for owner in owners
    )
    chain.send(chain.call("Utility", "batch_all", calls), pair_of(FAUCET), timeout_s=timeout_s)


def widen(chain: ChainClient, processors: Mapping[str, "Pair"], leases: int, timeout_s: float) -> None:
    """Have each processor promise so many jobs at once: they are short, and most of a promise is waiting."""
    for pair in processors.values():
        advert = chain.at().processors.adverts.get(pair.public)
        capacity = replace(advert.capacity, cores=leases)
        call = chain.call("Processors", "advertise", replace(advert, capacity=capacity))
        chain.send(call, pair, finalized=False, timeout_s=timeout_s)


def put_script(chain: ChainClient) -> types.Blob:
    """The script of all jobs, at the node."""
    from wasmtime import wat2wasm

    stored = chain.rpc.call("blobs_put", "0x" + bytes(wat2wasm(ECHO)).hex())
    return types.Blob(parse_cid(stored["cid"]), stored["bytes"])


def spec_of(script: types.Blob, processors: tuple[bytes, ...], start_ms: int, data: bytes, priority: int) -> Any:
    """A small job for any of the named processors: nobody is drawn, so that the queue alone says who comes first."""
    return types.JobSpec(
        script=script,
        runtime=types.RuntimeKind.WASM,
        entrypoint="main",
        input=types.InlineInput(data),
        processors=types.Known(processors),
        assignment=types.Single(),
        schedule=types.Schedule(start_ms, start_ms + 1, 60_000, DURATION_MS, START_DELAY_MS),
        resources=types.Resources(MEMORY_BYTES, 0, 0, FUEL, 4_096),
        requirements=types.Requirements(),
        slots=1,
        reward=REWARD,
        destinations=(destinations.Chain(),),
        gas_per_delivery=0,
        verification=types.Trusted(),
        stake_multiple=0,
        accepted_min=None,
        retry=types.RETRY_DEFAULT,
        timeouts=types.TIMEOUTS_DEFAULT,
        queue=types.Queue(priority=priority),
        environment=None,
        capabilities=types.NO_CAPABILITIES,
        mutability=types.Immutable(),
        fallback=None,
    )


def sign_all(chain: ChainClient, owners: list["Pair"], processors: tuple[bytes, ...], jobs: int) -> list[Order]:
    """All registrations, signed before the first is sent. One in ten is urgent, and comes no sooner than others."""
    script = put_script(chain)
    start_ms = int(chain.at().timestamp.now.get())
    birth = chain.finalized_hash()
    era = Era.mortal(MORTAL_BLOCKS, chain.header(birth)["number"])
    nonces = {owner.public: chain.at().system.accounts.get(owner.public).nonce for owner in owners}
    orders = []
    for number in range(jobs):
        owner, priority = owners[number % len(owners)], URGENT_PRIORITY if number % URGENT_EVERY == 5 else 0
        data = b"job %d of the burst" % number
        raw = sign_extrinsic(
            chain.call("Jobs", "register", spec_of(script, processors, start_ms, data, priority)),
            owner.public,
            owner.sign,
            chain.context,
            nonce=nonces[owner.public],
            era=era,
            era_block_hash=bytes_of(birth),
            scheme=owner.scheme,
        )
        nonces[owner.public] += 1
        orders.append(Order(owner.public, priority, data, raw))
    return orders


def submit_all(chain: ChainClient, orders: list[Order]) -> None:
    """The burst: requests of many transactions each, one after the other."""
    for start in range(0, len(orders), CALLS_AT_ONCE):
        part = orders[start : start + CALLS_AT_ONCE]
        try:
            chain.rpc.batch([("author_submitExtrinsic", ["0x" + order.raw.hex()]) for order in part])
        except RpcError as error:
            raise CliError(f"the pool refused a registration: {error.message}", "is the machine very busy?") from error


def final_blocks(chain: ChainClient, first: int, end_s: float) -> Iterator[tuple[int, str]]:
    """Final blocks from a height on, as they come."""
    number = first
    with chain.rpc.subscribe("chain_subscribeFinalizedHeads") as heads:
        while True:
            head = heads.next(max(0.1, end_s - time.monotonic()))
            last = min(int(head["number"], 16), number + CALLS_AT_ONCE)
            hashes = chain.rpc.batch([("chain_getBlockHash", [one]) for one in range(number, last + 1)])
            yield from zip(range(number, last + 1), map(str, hashes), strict=True)
            number = max(number, last + 1)


def follow(chain: ChainClient, orders: list[Order], first: int, end_s: float, told: Callable[[Story], None]) -> Story:
    """Read final blocks until every job of the burst is at its end. TimedOut says how far they came."""
    story = Story()
    by_hash = {blake2b256(order.raw): order for order in orders}
    try:
        for number, block in final_blocks(chain, first, end_s):
            hear(chain, story, by_hash, number, block)
            told(story)
            if len(story.ended) + len(story.failures) >= len(orders):
                return story
            if time.monotonic() > end_s:
                break
    except TimedOut:
        pass
    counts = f"{len(story.registered)} registered, {len(story.offered)} offered, {len(story.ended)} ended"
    raise TimedOut(f"of {len(orders)} jobs {counts} in time", "the nodes' logs say more; is the machine very busy?")


def hear(chain: ChainClient, story: Story, by_hash: Mapping[bytes, Order], number: int, block: str) -> None:
    """Add what one final block tells."""
    from pallets.jobs.events import JobDone, JobRegistered, SlotOffered
    from pallets.system import ExtrinsicFailed
    from pallets.transaction_payment import TransactionFeePaid

    raws: list[str] = []
    for record in chain.events(block):
        event = record.event
        if isinstance(event, TransactionFeePaid):
            story.paid_fees[event.who] = story.paid_fees.get(event.who, 0) + event.actual_fee
        elif isinstance(event, SlotOffered):
            story.offered.setdefault(event.job, number)
        elif isinstance(event, JobDone) and event.job in story.orders:
            story.ended[event.job], story.ends[event.job] = number, event.outcome
        elif isinstance(event, JobRegistered | ExtrinsicFailed) and record.phase is not None:
            raws = raws or chain.rpc.call("chain_getBlock", block)["block"]["extrinsics"]
            order = by_hash.get(blake2b256(bytes_of(raws[record.phase])))
            if order is not None and isinstance(event, JobRegistered):
                story.orders[event.job], story.registered[event.job] = order, number
            elif order is not None:
                story.failures.append(f"a registration failed in block {number}: {event}")
    waiting = len(story.registered) > len(story.offered)
    if waiting and number % SAMPLE_BLOCKS == 0 and len(story.queues) < SAMPLES_MAX:
        story.queues.append(sample_queue(chain, number, block))


class RememberingState(RemoteState):
    """A state of which what was walked through is not asked for again."""

    def __init__(self, rpc: RpcClient, block_hash: str) -> None:
        super().__init__(rpc, block_hash)
        self._known: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        known = self._known.get(key)
        return super().get(key) if known is None else known

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key, value in super().iterate(prefix, start):
            self._known[key] = value
            yield key, value


def sample_queue(chain: ChainClient, number: int, block: str) -> QueueSample:
    """The queue after a block, in the pallet's own order, which is walked over a copy of its records."""
    runtime = chain.runtime
    runtime.state.attach(RememberingState(chain.rpc, block), chain.spec)
    queue, clock = runtime.jobs.queue, runtime.agenda.now()
    places = {job: (place.priority, place.since) for job, place in queue.places.items()}
    return QueueSample(number, clock, tuple(queue.in_order(clock)), places)
