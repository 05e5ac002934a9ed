"""A processor and secrets, with real boxes on a real chain: fresh and one-time keys, what opens, what is forgotten."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from node.processor.vault import KEYS_MAX, LISTED, Vault
from node.secrets.boxes import new_key, seal_values
from node.secrets.owner import copies_for_prekeys, copy_for_slot, environment_of
from pallets.jobs.events import AttemptFailed, SlotVacated
from pallets.jobs.failure import SecretsUnavailable
from pallets.jobs.pallet import job_hash
from pallets.jobs.records import ExecutionState, JobState, SlotState
from pallets.jobs.types import Capabilities, JobSpec, Known, Sealing
from pallets.secrets.contexts import SEALED_BYTES, name_tag, values_context
from runtime.hashing import blake2b256
from runtime.pallet import RuntimeCall
from tests.helpers.processor_lab import BLOCKS_MAX, OWNER, PAIR, Colleague, ProcessorLab
from tests.sim.disk import MemoryDatabase

VALUE, HIDDEN = "value-that-is-nowhere", "hidden-that-is-nowhere"
LISTED_ELSEWHERE = b"kept"
"""A purpose that nobody tidies away."""
VALUES = {"TOKEN": VALUE, "KEY": HIDDEN}
Test = Callable[[ProcessorLab, trio.Nursery], Awaitable[None]]


def at_work(test: Test, folder: Path) -> None:
    """Run a test with a processor whose one-time keys are on the chain."""

    async def run() -> None:
        lab = ProcessorLab(folder)
        async with lab.working() as nursery:
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lambda: prekeys(lab))
            await test(lab, nursery)

    trio.run(run)


def prekeys(lab: ProcessorLab) -> tuple[bytes, ...]:
    """The processor's one-time keys on the chain."""
    keys: tuple[bytes, ...] = lab.look().secrets.prekeys.get(PAIR.public)
    return keys


class Owner:
    """Registers jobs with secrets and gives their key away."""

    def __init__(self, lab: ProcessorLab, sealing: Sealing, values: dict[str, str] | None = None) -> None:
        self.lab = lab
        self.key = new_key()
        names = VALUES if values is None else values
        self.spec: JobSpec = lab.spec(
            environment=environment_of(self.key, VALUES, sealing, public=False),
            capabilities=Capabilities((), (name_tag(self.key, "KEY"),), storage=False, sign=False),
            processors=Known((PAIR.public,)),
        )
        runtime = lab.look()
        self.sequence = runtime.jobs.sequences.get(OWNER.public)
        self.genesis = lab.chain.genesis_hash
        self.name_again()
        self.values = seal_values(self.key, values_context(self.genesis, OWNER.public, self.sequence), names)

    def name_again(self) -> None:
        """The job's hash, from its specification."""
        spec_hash = blake2b256(self.lab.look().jobs.specs.codec.encode(self.spec))
        self.job_hash = job_hash(self.genesis, OWNER.public, self.sequence, spec_hash)

    def send(self, pallet: str, name: str, *arguments: Any) -> None:
        """A signed call, into the pool."""
        nonce = self.lab.pool.next_nonce(OWNER.public)
        self.lab.submit(self.lab.sign(self.lab.call(pallet, name, *arguments), nonce, OWNER))

    def register(self, *more: Any) -> None:
        """In one batch: the job, its values, and what else belongs to it."""
        provide = self.inner("Secrets", "provide", self.job_hash, self.values)
        self.send("Utility", "batch_all", (self.inner("Jobs", "register", self.spec), provide, *more))

    def inner(self, pallet: str, name: str, *arguments: Any) -> RuntimeCall:
        """A call for a batch."""
        return self.lab.runtime.definition(pallet, name)(*arguments)

    def copies(self, key: bytes | None = None) -> Any:
        """The call that seals the job's key to the processor's first one-time key."""
        readers = [(PAIR.public, prekeys(self.lab)[0])]
        made = copies_for_prekeys(self.genesis, self.job_hash, readers, self.key if key is None else key)
        return self.inner("Secrets", "seal_to_prekeys", self.job_hash, made)

    def serve(self) -> None:
        """Seal to the key of the acknowledgment."""
        slot = self.lab.look().jobs.slot(0, 0)
        sealed = copy_for_slot(self.genesis, self.job_hash, 0, slot, self.key)
        self.send("Secrets", "seal", 0, 0, slot.generation, sealed)


def nowhere(lab: ProcessorLab, folder: Path) -> None:
    """No value is in the journal, the vault, a blob, or anything else on the disk of the node."""
    kept = b"".join(key + value for key, value in lab.disk.iterate(b""))
    kept += b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for number in range(1, lab.chain.best.number + 1):
        block = lab.chain.block(lab.store.ancestor(lab.chain.best.hash, number))
        assert block is not None
        kept += b"".join(block.extrinsics)
    assert VALUE.encode() not in kept
    assert HIDDEN.encode() not in kept


def test_a_run_waits_for_its_owner_and_gets_the_values(tmp_path: Path) -> None:
    """It acknowledges with a key and starts nothing before the copy is there; the script has what it may read."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        owner = Owner(lab, Sealing.SERVED)
        owner.register()
        await lab.blocks_until(nursery, lambda: lab.execution() is not None)
        for _ in range(3):
            await lab.block(nursery)
        assert lab.execution().state is ExecutionState.SCHEDULED
        assert lab.sent() == []
        key = lab.look().jobs.slot(0, 0).key
        assert lab.vault.private(key) is not None
        owner.serve()
        await lab.blocks_until(nursery, lambda: lab.runs.started)
        assert lab.runs.started[0].environment == {"TOKEN": VALUE}
        assert VALUE not in repr(lab.runs.started[0])
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
        for _ in range(20):
            await lab.block(nursery)
        assert lab.vault.private(key) is None
        nowhere(lab, tmp_path)

    at_work(test, tmp_path)


def test_an_owner_who_went_away_finds_the_job_done(tmp_path: Path) -> None:
    """Sealed to a one-time key in the batch that registers: no further call of the owner's; the key is replaced."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        owner = Owner(lab, Sealing.PREKEYS)
        first = prekeys(lab)[0]
        owner.register(owner.copies())
        await lab.blocks_until(nursery, lambda: lab.runs.started)
        assert lab.runs.started[0].environment == {"TOKEN": VALUE}
        assert lab.look().jobs.slot(0, 0).key == first
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
        for _ in range(20):
            await lab.block(nursery)
        assert first not in prekeys(lab)
        assert lab.vault.private(first) is None
        assert set(lab.vault.find(LISTED)) == set(prekeys(lab))
        nowhere(lab, tmp_path)

    at_work(test, tmp_path)


def reasons(lab: ProcessorLab) -> list[Any]:
    """Why slots were vacated and attempts failed, in the best block's chain."""
    found = []
    codec = lab.look().system.events_value.codec
    for number in range(1, lab.chain.best.number + 1):
        raw = lab.store.events(lab.store.ancestor(lab.chain.best.hash, number))
        records = codec.decode(raw) if raw else ()
        found += [one.event.reason for one in records if isinstance(one.event, SlotVacated)]
        found += [one.event.failure for one in records if isinstance(one.event, AttemptFailed)]
    return found


def test_what_a_script_with_secrets_saves_is_not_published(tmp_path: Path) -> None:
    """A checkpoint may hold a value: none of it reaches the chain or the blobs."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.runs.states = [b"state with " + VALUE.encode()]
        owner = Owner(lab, Sealing.PREKEYS)
        owner.register(owner.copies())
        await lab.blocks_until(nursery, lambda: lab.runs.started)
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
        nowhere(lab, tmp_path)

    at_work(test, tmp_path)


def test_an_offer_with_a_copy_that_does_not_open_is_declined(tmp_path: Path) -> None:
    """Nothing is promised, so another processor's copy may be used."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        owner = Owner(lab, Sealing.PREKEYS)
        owner.register(owner.copies(new_key()))
        await lab.blocks_until(nursery, lambda: reasons(lab))
        assert reasons(lab) == [SecretsUnavailable()]
        assert lab.look().jobs.slot(0, 0).state is SlotState.VACANT
        assert lab.runs.started == []

    at_work(test, tmp_path)


def test_a_served_copy_that_does_not_open_fails_the_attempt_without_a_run(tmp_path: Path) -> None:
    """The processor says so at once: class SecretsUnavailable."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        owner = Owner(lab, Sealing.SERVED)
        owner.register()
        await lab.blocks_until(nursery, lambda: lab.execution() is not None)
        owner.send("Secrets", "seal", 0, 0, 0, bytes(SEALED_BYTES))
        await lab.blocks_until(nursery, lambda: reasons(lab))
        assert reasons(lab) == [SecretsUnavailable()]
        assert lab.runs.started == []

    at_work(test, tmp_path)


def test_values_whose_names_are_not_those_of_the_job_do_not_count(tmp_path: Path) -> None:
    """The specification's hash binds the names: values under others are as good as none."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        owner = Owner(lab, Sealing.PREKEYS, {"TOKEN": VALUE, "OTHER": HIDDEN})
        owner.register(owner.copies())
        await lab.blocks_until(nursery, lambda: reasons(lab))
        assert reasons(lab) == [SecretsUnavailable()]

    at_work(test, tmp_path)


def test_one_time_keys_whose_other_half_is_lost_are_taken_back(tmp_path: Path) -> None:
    """After a new start without its database the processor withdraws them and publishes others."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lost = prekeys(lab)
        for key in lost:
            lab.vault.erase(key)
        await lab.blocks_until(nursery, lambda: prekeys(lab) and not set(lost) & set(prekeys(lab)))
        assert all(lab.vault.private(key) is not None for key in prekeys(lab))

    at_work(test, tmp_path)


def test_an_offer_with_secrets_is_declined_when_the_vault_is_full(tmp_path: Path) -> None:
    """There is no key to acknowledge with: that costs the offer. Work without secrets goes on, and so does the node."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        kept = sum(1 for _ in lab.vault.all())
        for _ in range(KEYS_MAX - kept):
            lab.vault.make(LISTED_ELSEWHERE)
        Owner(lab, Sealing.SERVED).register()
        await lab.blocks_until(nursery, lambda: reasons(lab))
        assert reasons(lab) == [SecretsUnavailable()]
        lab.register(lab.spec())
        lab.runs.gate.set()
        await lab.blocks_until(nursery, lambda: lab.look().jobs.jobs.contains(1) and lab.state(1) is JobState.DONE)

    at_work(test, tmp_path)


def test_no_one_time_keys_are_published_while_the_vault_is_full(tmp_path: Path) -> None:
    """A processor with no key on the chain and no room for one is at work all the same."""

    async def run() -> None:
        lab = ProcessorLab(tmp_path)
        for _ in range(KEYS_MAX):
            lab.vault.make(LISTED_ELSEWHERE)
        async with lab.working() as nursery:
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lab.advertised)
            lab.register(lab.spec())
            lab.runs.gate.set()
            await lab.blocks_until(nursery, lambda: lab.look().jobs.jobs.contains(0) and lab.state() is JobState.DONE)
            assert prekeys(lab) == ()

    trio.run(run)


def test_a_vault_opens_with_its_own_account_only() -> None:
    """Another account's secret opens none of its records, and the private halves are not in them in the clear."""
    disk = MemoryDatabase()
    vault = Vault(disk, b"one")
    public = vault.make(b"new")
    private = vault.private(public)
    assert private is not None
    assert Vault(disk, b"two").private(public) is None
    assert all(private not in value for _, value in disk.iterate(b""))
    vault.erase(public)
    assert vault.private(public) is None
    assert list(disk.iterate(b"")) == []


def test_after_a_loss_the_next_copy_is_used(tmp_path: Path) -> None:
    """Two processors have copies; the one that gets the slot vanishes; the other opens its own and finishes the job."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        other = Colleague(lab, "Charlie", b"from the next copy")

        async def both() -> None:
            await lab.block(nursery)
            other.watcher.step(nursery)
            await wait_all_tasks_blocked()

        def keys_of(who: bytes) -> tuple[bytes, ...]:
            keys: tuple[bytes, ...] = lab.look().secrets.prekeys.get(who)
            return keys

        for _ in range(BLOCKS_MAX):
            await both()
            if keys_of(other.pair.public):
                break
        owner = Owner(lab, Sealing.PREKEYS)
        owner.spec = replace(owner.spec, processors=Known((PAIR.public, other.pair.public)))
        owner.spec = replace(owner.spec, schedule=replace(owner.spec.schedule, start_delay_max_ms=10_000))
        owner.name_again()
        readers = [(who, keys_of(who)[0]) for who in (PAIR.public, other.pair.public)]
        made = copies_for_prekeys(owner.genesis, owner.job_hash, readers, owner.key)
        owner.register(owner.inner("Secrets", "seal_to_prekeys", owner.job_hash, made))
        holders: list[bytes] = []
        for _ in range(4 * BLOCKS_MAX):
            slot = lab.look().jobs.slot(0, 0) if lab.look().jobs.jobs.find(0) else None
            first = slot.processor if slot is not None and slot.generation == 0 else None
            holders += [first] if first is not None and first not in holders else []
            lost = holders and holders[0] == PAIR.public
            await lab.author_block()
            lab.finalise()
            # Whoever got the slot first is not seen again; the other one goes on.
            if not lost:
                lab.watcher.step(nursery)
            if lost or not holders:
                other.watcher.step(nursery)
            await wait_all_tasks_blocked()
            lab.runs.gate.set()
            if lab.look().jobs.jobs.find(0) and lab.state() is JobState.DONE:
                break
        assert lab.state() is JobState.DONE
        final = lab.look().jobs.slot(0, 0)
        assert final.generation >= 1
        assert lab.execution().state is ExecutionState.ACCEPTED
        assert lab.execution().processor != holders[0]
        used = [copy for copy in reasons(lab) if copy == SecretsUnavailable()]
        assert used == []

    at_work(test, tmp_path)
