"""Challenger: run a share of what others reported again, and object to what is wrong (`heddle node --challenge-rate`).

Only results that wait in the window of Reexecution can be challenged. Which ones are looked at follows from this
account, the job and the execution, so a liar cannot tell, and a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import trio

from node.log import logger
from node.processor.journal import CHALLENGE, CheckKey
from node.processor.rechecks import Rechecks
from node.processor.reports import digest_of
from node.processor.submitter import Submitter
from pallets.jobs.types import Reexecution
from pallets.verification.types import Entry, Round, RoundKey, RoundState
from runtime.heddle import Heddle

log = logger("processor")

PPM = 10**6
ROUNDS_SEEN_MAX = 256
"""Rounds looked at after each block."""


class Challenger:
    """Looks at `rate_ppm` of others' results."""

    def __init__(self, submitter: Submitter, rechecks: Rechecks, rate_ppm: int) -> None:
        self.submitter = submitter
        self.rechecks = rechecks
        self.duties = rechecks.duties
        self.rate_ppm = rate_ppm
        self.account = submitter.account

    def step(self, runtime: Heddle, nursery: trio.Nursery) -> None:
        """The next step of each result that we look at."""
        if not self.rate_ppm:
            return
        for place, found, entry, key in self._chosen(runtime):
            if found.state in (RoundState.WINDOW, RoundState.DRAWING, RoundState.AUDITING):
                self._check(runtime, place, found, entry, key, nursery)
            elif found.state is RoundState.CHALLENGED:
                self._reveal(runtime, place, found, key, nursery)

    def wanted(self) -> set[CheckKey]:
        """What we look at, at the best and at the final head."""
        if not self.rate_ppm:
            return set()
        heads = (self.duties.final(), self.duties.best())
        return {key for runtime in heads for _, _, _, key in self._chosen(runtime)}

    def _chosen(self, runtime: Heddle) -> Iterator[tuple[RoundKey, Round, Entry, CheckKey]]:
        for place, found in islice(runtime.verification.rounds.items(), ROUNDS_SEEN_MAX):
            job = runtime.jobs.jobs.find(place[0])
            entry = runtime.verification.entries.find(place)
            if job is None or entry is None or entry.digest is None or entry.terms.processor == self.account:
                continue
            if not isinstance(runtime.jobs.specs.get(place[0]).verification, Reexecution):
                continue
            key = CheckKey(job.id_hash, place[1], CHALLENGE)
            if int.from_bytes(self.submitter.salt(b"lot" + key.encode())[:8], "little") % PPM < self.rate_ppm:
                yield place, found, entry, key

    def _check(
        self, runtime: Heddle, place: RoundKey, found: Round, entry: Entry, key: CheckKey, nursery: trio.Nursery
    ) -> None:
        outcome = self.rechecks.outcome(runtime, key, nursery)
        if outcome is None or found.state is not RoundState.WINDOW:
            return
        spec = runtime.jobs.spec_for(place[0], place[1])
        if digest_of(spec, key.execution, outcome) == entry.digest:
            return
        wish = ("challenge", key, found.challenges)
        if self.submitter.want(
            wish, "Verification", "challenge", *place[:2], self.rechecks.commitment(spec, key, outcome)
        ):
            log.warning("a wrong result is challenged", job=place[0], execution=place[1])

    def _reveal(self, runtime: Heddle, place: RoundKey, found: Round, key: CheckKey, nursery: trio.Nursery) -> None:
        """Once the challenge is final: shown before, the result could be used by a challenge that takes our place."""
        challenge = found.challenge
        if challenge is None or challenge.challenger != self.account:
            return
        final = self.duties.final().verification.rounds.find(place)
        outcome = self.rechecks.outcome(runtime, key, nursery)
        if final is None or final.challenge != challenge or outcome is None:
            return
        spec = runtime.jobs.spec_for(place[0], place[1])
        salt = self.rechecks.salt(key, digest_of(spec, key.execution, outcome))
        wish = ("reveal_challenge", key, found.challenges)
        self.submitter.want(wish, "Verification", "reveal_challenge", *place[:2], outcome, salt)
