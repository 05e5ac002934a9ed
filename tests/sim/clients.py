"""Who uses the simulated network: accounts that send transfers, and a consumer with jobs.

A client sends one extrinsic at a time and sends the same bytes again, to any node, until they are in the final chain:
what a crash takes from a pool is not lost for its sender.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import trio

from node.blobs import cid_of
from node.node import Node
from node.pool import PoolError, Status
from node.transactions import TransactionUpdate
from pallets.jobs import types
from pallets.jobs.destinations import Chain, Destination, Webhook
from runtime.errors import InvalidTransaction
from runtime.extrinsic import SigningContext, sign_extrinsic
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from runtime.scale import ScaleError
from tests.sim.machine import Machine, pair_of
from tests.sim.observer import Observer

HDL = 10**12
PAUSE_S_MAX = 3.0
RESEND_S = 6.0
UPDATES_MAX = 64
WEBHOOK = "https://receiver.example/results"


class Client:
    """One account. Its nonce is its own count: nobody else signs for it."""

    def __init__(
        self,
        name: str,
        random: Random,
        machines: list[Machine],
        observer: Observer,
        going: Callable[[], bool],
        stores: list[Machine] | None = None,
    ) -> None:
        self.pair = pair_of(name)
        self.sent = 0
        self.settled = 0
        self.random = random
        self.machines = machines
        self.stores = stores or machines
        """Whose blob stores get a job's script."""
        self._observer = observer
        self._going = going
        self._runtime = Heddle(observer.slot_ms)
        self._context = SigningContext(1, self._runtime.transaction_version, observer.genesis_hash)

    async def transfers(self, targets: list[bytes]) -> None:
        """Send small amounts around for as long as the load lasts."""
        while self._going():
            target = self.random.choice(targets)
            amount = self.random.randrange(1, 5 * HDL)
            await self.send("Balances", "transfer_keep_alive", target, amount)
            await trio.sleep(self.random.uniform(0, PAUSE_S_MAX))

    async def send(self, pallet: str, call: str, *arguments: Any) -> bytes:
        """Make a call and see it into the final chain; its hash."""
        runtime = self._runtime
        data = runtime.call_codec.encode(runtime.definition(pallet, call)(*arguments))
        raw = sign_extrinsic(data, self.pair.public, self.pair.sign, self._context, nonce=self.sent)
        self.sent += 1
        name = blake2b256(raw)
        while not self._observer.is_final(name):
            up = [machine.node for machine in self.machines if machine.node is not None]
            if up:
                await self._submit(self.random.choice(up), raw, name)
            with trio.move_on_after(RESEND_S):
                await self._observer.wait_final(name)
        self.settled += 1
        return name

    async def _submit(self, node: Node, raw: bytes, name: bytes) -> None:
        """Hand the extrinsic to a node, and hear what it says of it."""
        updates, heard = trio.open_memory_channel[TransactionUpdate](UPDATES_MAX)
        node.transactions.watch(raw, updates)
        try:
            node.transactions.submit(raw, local=True)
        except (PoolError, InvalidTransaction, ScaleError):
            node.transactions.unwatch(name, updates)
            return
        with heard, trio.move_on_after(RESEND_S):
            async for update in heard:
                if update.status is Status.FINALIZED:
                    assert update.detail is not None
                    self._observer.told_final[name] = update.detail

    def store_blob(self, data: bytes) -> types.Blob:
        """Put a blob on every machine that is up."""
        for machine in self.stores:
            if machine.node is not None:
                machine.node.blobs.store.put(data)
        return types.Blob(cid_of(data), len(data))


def drawn_job(random: Random, script: types.Blob, now_ms: int) -> types.JobSpec:
    """A job on two public processors, with one to three executions."""
    interval_ms = random.choice((20_000, 30_000))
    start_ms = now_ms + random.randrange(5_000, 15_000)
    count = random.randint(1, 3)
    destinations: tuple[Destination, ...] = (Chain(),)
    if random.random() < 0.5:
        destinations += (Webhook(WEBHOOK),)
    return types.JobSpec(
        script=script,
        runtime=types.RuntimeKind.WASM,
        entrypoint="main",
        input=types.NoInput(),
        processors=types.Public(0, attested_only=False),
        assignment=types.Single(),
        schedule=types.Schedule(start_ms, start_ms + (count - 1) * interval_ms + 1, interval_ms, 10_000, 150_000),
        resources=types.Resources(1 << 28, 1 << 20, 0, 10**9, 4_096),
        requirements=types.Requirements(),
        slots=2,
        reward=2 * HDL,
        destinations=destinations,
        gas_per_delivery=0,
        verification=types.Trusted(),
        stake_multiple=0,
        accepted_min=None,
        retry=types.RETRY_DEFAULT,
        timeouts=types.Timeouts(acknowledge_slots=10, queue_ms=3_600_000),
        queue=types.Queue(),
        environment=None,
        capabilities=types.NO_CAPABILITIES,
        mutability=types.Immutable(),
        fallback=None,
    )
