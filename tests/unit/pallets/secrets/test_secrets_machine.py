"""The machine of jobs with secrets in most of them: copies, one-time keys and deposits in any order, by anyone."""

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from pallets.balances import HoldReason
from pallets.jobs import types
from pallets.jobs.types import JobSpec, Sealing
from pallets.secrets.types import PREKEYS_MAX, PrekeyCopy
from runtime.hashing import blake2b256
from tests.helpers.job_world import PROCESSORS
from tests.helpers.machine_runs import Record, run_machine
from tests.helpers.secret_jobs import KEY, SEALED, TAG, VALUES
from tests.unit.pallets.jobs.test_job_machine import EVERYONE, JobMachine, nearly_right, who


class SecretsMachine(JobMachine):
    """Adds the calls of Secrets; every second job has served values, every third one-time keys."""

    def __init__(self) -> None:
        super().__init__()
        self.published = 0
        self.used: set[bytes] = set()
        for processor in PROCESSORS[:4]:
            self.publish(processor, PREKEYS_MAX)

    def attempt(self, pallet: str, name: str, signer: bytes, *arguments: object) -> bool:
        """Jobs get an environment as they are registered, and acknowledgments the key that this asks for."""
        if name == "register" and pallet == "Jobs":
            return self.register_with_secrets(signer, *arguments)
        if name == "acknowledge":
            job, *rest, _ = arguments
            assert isinstance(job, int)
            spec = self.world.jobs.specs.find(job)
            key = None if spec is None or spec.environment is None else KEY
            done = super().attempt(pallet, name, signer, job, *rest, key)
            if done and key is not None and job % 2:
                # Every second owner is at home.
                super().attempt("Secrets", "seal", self.world.job(job).owner, job, *rest, SEALED)
            return done
        return super().attempt(pallet, name, signer, *arguments)

    def register_with_secrets(self, signer: bytes, *arguments: object) -> bool:
        """Register; the values, and copies if they are asked for, follow before the next block."""
        (spec,) = arguments
        assert isinstance(spec, JobSpec)
        kind = self.world.jobs.next_job.get() % 3
        if kind == 0:
            return super().attempt("Jobs", "register", signer, spec)
        sealing = Sealing.SERVED if kind == 1 else Sealing.PREKEYS
        with_secrets = replace(spec, environment=types.Environment((TAG,), sealing, public=True))
        if not super().attempt("Jobs", "register", signer, with_secrets):
            return False
        job = self.world.jobs.next_job.get() - 1
        name = self.world.job(job).id_hash
        assert super().attempt("Secrets", "provide", signer, name, VALUES)
        if sealing is Sealing.PREKEYS:
            keys = [(one, self.world.secrets.prekeys.get(one)) for one in PROCESSORS[:3]]
            copies = tuple(PrekeyCopy(one, known[0], SEALED) for one, known in keys if known)
            if super().attempt("Secrets", "seal_to_prekeys", signer, name, copies):
                self.used |= {copy.prekey for copy in copies}
        return True

    @rule(signer=who, count=st.integers(0, 6))
    def publish_some(self, signer: bytes, count: int) -> None:
        """One-time keys, of processors and of others."""
        self.publish(signer, count)

    def publish(self, signer: bytes, count: int) -> None:
        """New keys."""
        keys = tuple(blake2b256(b"prekey" + (self.published + n).to_bytes(4, "little")) for n in range(count))
        self.published += count
        self.attempt("Secrets", "publish_prekeys", signer, keys)

    @rule(signer=st.sampled_from(PROCESSORS[:4]))
    def withdraw(self, signer: bytes) -> None:
        """A processor takes its one-time keys back."""
        self.attempt("Secrets", "withdraw_prekeys", signer)

    @rule(job=st.integers(0, 20), wrong=nearly_right, other=st.integers(0, 9), signer=who)
    def seal(self, job: int, wrong: int, other: int, signer: bytes) -> None:
        """The owner, or now and then somebody else, answers every acknowledgment of a job."""
        found = self.pick(job)
        if found is None:
            return
        owner = signer if other == 0 else self.world.job(found).owner
        for number, slot in list(self.world.jobs.slots_of(found)):
            sent = self.attempt("Secrets", "seal", owner, found, number, slot.generation + wrong, SEALED)
            assert not sent or self.world.slot(found, number).sealed

    @rule(job=st.integers(0, 20), processor=st.sampled_from(PROCESSORS[:4]), signer=who)
    def seal_to_prekey(self, job: int, processor: bytes, signer: bytes) -> None:
        """A further copy; a key that was used before is refused."""
        found = self.pick(job)
        if found is None:
            return
        keys = (*self.world.secrets.prekeys.get(processor)[:1], *sorted(self.used)[:1])
        for key in keys:
            copies = (PrekeyCopy(processor, key, SEALED),)
            name = self.world.job(found).id_hash
            sent = self.attempt("Secrets", "seal_to_prekeys", self.world.job(found).owner, name, copies)
            assert not sent or key not in self.used
            if sent:
                self.used.add(key)
        self.attempt("Secrets", "provide", signer, self.world.job(found).id_hash, VALUES)

    @invariant()
    def a_held_slot_is_sealed_exactly_if_its_copy_is_there(self) -> None:
        """`sealed` tells the truth, and a copy names the processor that holds its slot."""
        for job in self.states:
            if not self.world.jobs.is_live(job):
                continue
            for number, slot in self.world.jobs.slots_of(job):
                copy = self.world.secrets.copy_at(job, number, slot.generation)
                assert slot.sealed is (copy is not None)
                assert copy is None or copy.processor == slot.processor

    @invariant()
    def only_those_with_secrets_hold_a_deposit_for_them(self) -> None:
        """The sum of all holds is the sum of all deposits: `check_state` compares them account by account."""
        secrets = self.world.secrets
        owners = {bundle.owner for _, bundle in secrets.bundles.items()} | {one for one, _ in secrets.prekeys.items()}
        for one in EVERYONE:
            assert one in owners or self.world.balances.held(one, HoldReason.SECRETS) == 0


@pytest.mark.deadline(300)
def test_no_order_of_calls_breaks_an_invariant_of_secrets(record_property: Record) -> None:
    """Copies follow their slots, one-time keys are used once, ended jobs leave nothing."""
    run_machine(SecretsMachine, record_property)
