"""Keeper: this processor's part in secrets - its one-time keys, the keys of its acknowledgments, and what they open.

Opened values live in memory, for one run, and nowhere else.
"""

from __future__ import annotations

from node.log import logger
from node.processor.duties import Duties, Duty
from node.processor.opened import Opened, split
from node.processor.submitter import Submitter
from node.processor.vault import LISTED, NEW, Vault, VaultFull, place_of, read_place
from node.secrets.boxes import SecretsInvalid, open_key, open_values
from pallets.jobs.records import LIVE_STATES
from pallets.jobs.types import Sealing
from pallets.secrets.contexts import prekey_context, slot_context, values_context
from pallets.secrets.pallet import PREKEY_DEPOSIT
from pallets.secrets.types import Copy
from runtime.heddle import Heddle

log = logger("processor")

PREKEYS_WANTED = 8
PREKEYS_LOW = 4
"""So few unused one-time keys on the chain, and new ones are published."""
KEEPS_FREE = 10**12
"""Planck that are left for fees and bonds when one-time keys are published."""
TIDY_BLOCKS = 16


class Keeper:
    """The keys of one processor account."""

    def __init__(self, duties: Duties, submitter: Submitter, vault: Vault) -> None:
        self.duties = duties
        self.submitter = submitter
        self.vault = vault
        self.account = submitter.account
        self._tidied = -TIDY_BLOCKS

    def step(self, runtime: Heddle) -> None:
        """Publish one-time keys when few are left, and forget those that nobody needs any more."""
        self._replenish(runtime)
        final = self.duties.final()
        if final.system.number >= self._tidied + TIDY_BLOCKS:
            self._tidied = final.system.number
            self._tidy(final)

    # Acknowledgments.

    def key_for(self, runtime: Heddle, duty: Duty) -> bytes | None:
        """The key to acknowledge an offer with: that of the copy it came with, else a fresh one, always the same.

        Raises VaultFull.
        """
        if duty.spec.environment is None:
            return None
        copy = self._copy(runtime, duty)
        if copy is not None:
            return copy.key
        place = place_of(duty.job.id_hash, duty.number, duty.slot.generation)
        known = self.vault.find(place)
        return known[0] if known else self.vault.make(place)

    def hopeless(self, runtime: Heddle, duty: Duty) -> bool:
        """Whether an offer came with a copy that does not open: another processor's copy may."""
        environment = duty.spec.environment
        if environment is None or environment.sealing is not Sealing.PREKEYS or not duty.slot.sealed:
            return False
        return self.open(runtime, duty) is None

    # Runs.

    @staticmethod
    def ready(duty: Duty) -> bool:
        """Whether a run of the slot may begin: it has no secrets, or they are there."""
        return duty.spec.environment is None or duty.slot.sealed

    def open(self, runtime: Heddle, duty: Duty) -> Opened | None:
        """The job's environment for this slot; None if it does not open, whatever the reason."""
        copy = self._copy(runtime, duty)
        if copy is None:
            return None
        try:
            return self._opened(runtime, duty, copy)
        except SecretsInvalid as error:
            log.warning("secrets do not open", job=duty.id, slot=duty.number, reason=str(error))
            return None

    def _copy(self, runtime: Heddle, duty: Duty) -> Copy | None:
        return runtime.secrets.copy_at(duty.id, duty.number, duty.slot.generation)

    def _opened(self, runtime: Heddle, duty: Duty, copy: Copy) -> Opened:
        genesis, job = self.duties.chain.genesis_hash, duty.job
        secret_key = self._secret_key(genesis, duty, copy)
        sealed = runtime.secrets.values.find(duty.id)
        if sealed is None:
            raise SecretsInvalid("the values are gone")
        values = open_values(secret_key, values_context(genesis, job.owner, job.sequence), sealed)
        return split(duty.spec, secret_key, values)

    def _secret_key(self, genesis: bytes, duty: Duty, copy: Copy) -> bytes:
        """The job's key. What was sealed for an acknowledgment says so; a one-time key opens its own copies too."""
        private, purpose = self.vault.private(copy.key), self.vault.purpose(copy.key)
        if private is None or purpose is None:
            raise SecretsInvalid("the private half of the key is not here")
        job = duty.job.id_hash
        context = slot_context(genesis, job, duty.number, duty.slot.generation, self.account, copy.key)
        if read_place(purpose) is not None:
            return open_key(private, context, copy.sealed)
        try:
            return open_key(private, prekey_context(genesis, job, self.account, copy.key), copy.sealed)
        except SecretsInvalid:
            return open_key(private, context, copy.sealed)

    # One-time keys.

    def _replenish(self, runtime: Heddle) -> None:
        listed = runtime.secrets.prekeys.get(self.account)
        wish = ("prekeys", listed)
        if any(self.vault.private(key) is None for key in listed):
            self.submitter.want(("withdraw prekeys", listed), "Secrets", "withdraw_prekeys")
            return
        for key in listed:
            if self.vault.purpose(key) == NEW:
                self.vault.assign(key, LISTED)
        if len(listed) >= PREKEYS_LOW:
            self.submitter.done(wish)
            return
        missing = PREKEYS_WANTED - len(listed)
        if runtime.balances.free(self.account) < missing * PREKEY_DEPOSIT + KEEPS_FREE:
            return
        new = [key for key in self.vault.find(NEW) if key not in listed][:missing]
        try:
            new += [self.vault.make(NEW) for _ in range(missing - len(new))]
        except VaultFull:
            log.warning("no room for new one-time keys: the copies of many jobs wait for theirs")
            return
        self.submitter.want(wish, "Secrets", "publish_prekeys", tuple(new))

    def _tidy(self, final: Heddle) -> None:
        """By the last final block, which no reorganisation takes back."""
        listed = (*final.secrets.prekeys.get(self.account), *self.duties.best().secrets.prekeys.get(self.account))
        used = []
        for public, purpose in list(self.vault.all()):
            place = read_place(purpose)
            if purpose == LISTED and public not in listed:
                used.append(public)
            elif place is not None and self._is_over(final, *place):
                self.vault.erase(public)
        if used:
            waiting = {
                copy.key
                for job, copies in final.secrets.copies.items()
                for copy in copies
                if copy.place is None or final.jobs.slot(job, copy.place.slot).generation <= copy.place.generation
            }
            for public in used:
                if public not in waiting:
                    self.vault.erase(public)

    def _is_over(self, final: Heddle, job_hash: bytes, number: int, generation: int) -> bool:
        """Whether nobody will seal for this acknowledgment any more."""
        job_id = final.jobs.job_by_hash.find(job_hash)
        if job_id is None:
            return self.duties.best().jobs.job_by_hash.find(job_hash) is None
        if final.jobs.job(job_id).state not in LIVE_STATES:
            return True
        return final.jobs.slot(job_id, number).generation > generation
