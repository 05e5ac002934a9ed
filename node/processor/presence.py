"""Presence: being a processor at all - registered, with a stake and an advert, and alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from node.processor.runtimes.spec import native_runtime
from node.processor.submitter import Submitter
from pallets.jobs.bounds import MODULES_MAX
from pallets.jobs.types import RuntimeKind
from pallets.processors.pallet import REGISTRATION_DEPOSIT
from pallets.processors.types import Advert
from runtime.heddle import Heddle

HEARTBEAT_SLOTS = 600
"""A third of what makes a processor ineligible (spec/job-layer.md §4 (2))."""
NODE_VERSION = 1
REGISTRATION_NEEDS = 2 * REGISTRATION_DEPOSIT
"""Planck: the deposit, fees, and what an advert holds."""
STAKE_LEAVES_FREE = 10**12
"""Planck that the node keeps for fees, deposits and bonds when it stakes by itself."""


def with_native_of(machine: Advert, advert: Advert) -> Advert:
    """The advert with the native runtimes that the machine offers now; as it is where it would be left with none."""
    native = RuntimeKind.NATIVE in machine.runtimes
    others = tuple(kind for kind in advert.runtimes if kind is not RuntimeKind.NATIVE)
    if native == (RuntimeKind.NATIVE in advert.runtimes) or not (native or others):
        return advert
    modules = tuple(module for module in advert.modules if native_runtime((module,)) is None)
    if native:
        modules = (*modules, *machine.modules)[:MODULES_MAX]
        return replace(advert, runtimes=(*others, RuntimeKind.NATIVE), modules=modules)
    return replace(advert, runtimes=others, modules=modules)


class Presence:
    """Keeps one account in the list of processors.

    `stake`: planck to have at stake; None for one unit, and only while nothing is staked or unbonding. `benchmark`: a
    new figure that the advert is to have; None leaves it as it is.
    """

    def __init__(self, submitter: Submitter, advert: Callable[[], Advert], stake: int | None = None) -> None:
        self.submitter = submitter
        self.advert = advert
        self.stake = stake
        self.benchmark: int | None = None
        self.account = submitter.account

    def step(self, runtime: Heddle) -> bool:
        """Register, stake, advertise, send heartbeats; whether the chain lists us with an advert."""
        record = runtime.processors.records.find(self.account)
        if record is None:
            if runtime.balances.free(self.account) > REGISTRATION_NEEDS:
                self.submitter.want(("register",), "Processors", "register", NODE_VERSION)
            return False
        self._stake(runtime)
        advert = runtime.processors.adverts.find(self.account)
        if advert is None or record.suspended:
            # A suspended advert is renewed as it stands: its operator may have changed it.
            self.submitter.want(("advertise",), "Processors", "advertise", advert or self.advert())
            return record.suspended
        self._renew(advert)
        if runtime.agenda.now() - record.heartbeat_at >= HEARTBEAT_SLOTS:
            beat = runtime.agenda.now() // HEARTBEAT_SLOTS
            self.submitter.want(("heartbeat", beat), "Processors", "heartbeat", NODE_VERSION)
        return True

    def _renew(self, advert: Advert) -> None:
        """Tell a new figure once, and what --offer-native says; the rest of the advert is its operator's."""
        if advert.benchmark == self.benchmark:
            self.benchmark = None
        changed = with_native_of(self.advert(), advert)
        if self.benchmark is not None:
            changed = replace(changed, benchmark=self.benchmark)
        if changed == advert:
            self.submitter.done(("advertise",))
        else:
            self.submitter.want(("advertise",), "Processors", "advertise", changed)

    def _stake(self, runtime: Heddle) -> None:
        """Stake what is missing, once there is the money. What the operator takes back is not staked again."""
        pallet = runtime.processors
        held = pallet.stakes.get(self.account)
        wanted = pallet.parameters.get().stake_unit if self.stake is None else self.stake
        missing = wanted - held.bonded
        if missing <= 0 or held.unbonding or (self.stake is None and held.bonded):
            self.submitter.done(("stake",))
        elif runtime.balances.free(self.account) >= missing + STAKE_LEAVES_FREE:
            self.submitter.want(("stake",), "Processors", "stake", missing)
