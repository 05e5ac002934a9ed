"""Presence: being a processor at all - registered, with an advert, and alive."""

from __future__ import annotations

from collections.abc import Callable

from node.processor.submitter import Submitter
from pallets.processors.types import Advert
from runtime.heddle import Heddle

HEARTBEAT_SLOTS = 600
"""A third of what makes a processor ineligible (spec/job-layer.md §4 (2))."""
NODE_VERSION = 1


class Presence:
    """Keeps one account in the list of processors."""

    def __init__(self, submitter: Submitter, advert: Callable[[], Advert]) -> None:
        self.submitter = submitter
        self.advert = advert
        self.account = submitter.account

    def step(self, runtime: Heddle) -> bool:
        """Register, advertise, send heartbeats; whether the chain lists us with an advert."""
        record = runtime.processors.records.find(self.account)
        if record is None:
            if runtime.balances.free(self.account) > 2 * runtime.balances.existential_deposit:
                self.submitter.want(("register",), "Processors", "register", NODE_VERSION)
            return False
        advert = runtime.processors.adverts.find(self.account)
        if advert is None or record.suspended:
            # A suspended advert is renewed as it stands: its operator may have changed it.
            self.submitter.want(("advertise",), "Processors", "advertise", advert or self.advert())
            return record.suspended
        self.submitter.done(("advertise",))
        if runtime.agenda.now() - record.heartbeat_at >= HEARTBEAT_SLOTS:
            beat = runtime.agenda.now() // HEARTBEAT_SLOTS
            self.submitter.want(("heartbeat", beat), "Processors", "heartbeat", NODE_VERSION)
        return True
