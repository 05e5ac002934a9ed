"""Processors and matchers that do one thing wrong. Everything else in them is the real thing."""

from __future__ import annotations

from typing import Any

import trio

from node.processor.matcher import Matcher
from node.processor.runtimes.spec import RunSpec
from pallets.matching.types import Placement
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from tests.sim.processor import ObservedSubmitter, SimPool

LATE_FACTOR = 3


class LyingPool(SimPool):
    """Every compared result is a lie, and the same one each time: it lies as a juror, too."""

    async def answer(self, spec: RunSpec, right: bytes) -> bytes:
        return blake2b256(b"lie" + right)


class StallingPool(SimPool):
    """Runs that never end."""

    async def answer(self, spec: RunSpec, right: bytes) -> bytes:
        await trio.Event().wait()
        return right


class LatePool(SimPool):
    """Runs that take longer than they may."""

    async def answer(self, spec: RunSpec, right: bytes) -> bytes:
        await trio.sleep(LATE_FACTOR * spec.limits.wall_ms / 1000)
        return right


class VanishingSubmitter(ObservedSubmitter):
    """Nothing is heard of it once it has promised something."""

    promised = False

    def want(self, key: Any, pallet: str, call: str, *arguments: Any) -> bool:
        if self.promised and call != "acknowledge":
            return False
        self.promised = self.promised or call == "acknowledge"
        return super().want(key, pallet, call, *arguments)


class MuteSubmitter(ObservedSubmitter):
    """Commits, and never shows to what."""

    def want(self, key: Any, pallet: str, call: str, *arguments: Any) -> bool:
        return False if call in ("reveal", "reveal_late") else super().want(key, pallet, call, *arguments)


class CopyingSubmitter(ObservedSubmitter):
    """Commits to what another has committed to, and shows what another has shown."""

    def want(self, key: Any, pallet: str, call: str, *arguments: Any) -> bool:
        if pallet != "Verification" or call not in ("commit", "reveal"):
            return super().want(key, pallet, call, *arguments)
        job, execution, slot = arguments[:3]
        runtime = self.transactions.ledger.runtime()
        entries = [runtime.verification.entries.find((job, execution, other)) for other in range(8) if other != slot]
        if call == "commit":
            copied = next((one.commitment for one in entries if one is not None), None)
            return copied is not None and super().want(key, pallet, call, *arguments[:-1], copied)
        shown = next((one.outcome for one in entries if one is not None and one.outcome is not None), None)
        return shown is not None and super().want(key, pallet, call, *arguments[:-2], shown, arguments[-1])


class CensoringMatcher(Matcher):
    """Proposes its own processor and nobody else."""

    def _place(self, runtime: Heddle, id: int, numbers: list[int]) -> list[Placement]:
        placements = super()._place(runtime, id, numbers)
        return [one for one in placements if one.processor == self.submitter.account]
