"""Rules for the job machine: what owners do with their jobs while these live."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from pallets.jobs.queue import rank
from tests.helpers.job_world import ALICE, BOB, CAROL, HDL, MATCHER, PROCESSORS, SCRIPT, World

someone = st.sampled_from((None, None, None, ALICE, BOB, CAROL, MATCHER, PROCESSORS[0]))
"""None: the owner itself, who is asked most often."""


class OwnerRules:
    """Mixed into a machine that has a `world`, `attempt` and `pick`."""

    world: World

    def attempt(self, pallet: str, name: str, signer: bytes, *arguments: object) -> bool:
        """Make a call; a refused one must change nothing."""
        raise NotImplementedError

    def pick(self, number: int) -> int | None:
        """A job, live ones first."""
        raise NotImplementedError

    def act(self, name: str, job: int, number: int, wrong: int, *rest: object) -> None:
        """A processor's call about its first live execution."""
        raise NotImplementedError

    def by_owner(self, name: str, job: int, other: bytes | None, *arguments: object) -> None:
        """A call about a job by its owner, or by `other`, who must not succeed in the owner's place."""
        found = self.pick(job)
        if found is None:
            return
        owner = self.world.job(found).owner
        done = self.attempt("Jobs", name, other or owner, found, *arguments)
        assert not done or other in (None, owner)

    @rule(job=st.integers(0, 20), other=someone, resume=st.booleans())
    def pause_or_resume(self, job: int, other: bytes | None, resume: bool) -> None:
        """The owner pauses, or goes on."""
        self.by_owner("resume" if resume else "pause", job, other)

    @rule(job=st.integers(0, 20), other=someone, amount=st.sampled_from([0, 1, HDL, 20_000 * HDL]))
    def top_up(self, job: int, other: bytes | None, amount: int) -> None:
        """The owner adds money, sometimes more than there is."""
        self.by_owner("top_up", job, other, amount)

    @rule(job=st.integers(0, 20), other=someone, later_ms=st.sampled_from([-1, 1, 30_000, 300_000, 10**12]))
    def extend(self, job: int, other: bytes | None, later_ms: int) -> None:
        """The owner moves the end on, or tries to move it back or too far."""
        found = self.pick(job)
        if found is not None:
            end_ms = self.world.jobs.specs.get(found).schedule.end_ms
            self.by_owner("extend", job, other, end_ms + later_ms)

    @rule(job=st.integers(0, 20), number=st.integers(1, 9), editor=st.sampled_from((CAROL, CAROL, ALICE)))
    def edit(self, job: int, number: int, editor: bytes) -> None:
        """Carol edits a script, Alice tries to."""
        found = self.pick(job)
        if found is not None:
            script = replace(SCRIPT, cid=SCRIPT.cid[:-1] + bytes((number,)))
            before = [self.world.jobs.spec_for(found, e).script for e in range(self.world.job(found).executions)]
            done = self.attempt("Jobs", "edit_script", editor, found, script)
            after = [self.world.jobs.spec_for(found, e).script for e in range(self.world.job(found).executions)]
            assert not done or editor == CAROL
            begun = max(slot.next for _, slot in self.world.jobs.slots_of(found))
            assert after[:begun] == before[:begun], "an execution that has come up keeps its script"

    @rule(job=st.integers(0, 20), number=st.integers(0, 2))
    def checkpoint(self, job: int, number: int) -> None:
        """A processor stores the state of its first live execution."""
        self.act("checkpoint", job, number, 0, SCRIPT)

    @rule(job=st.integers(0, 20), victim=st.integers(0, 20), slot=st.integers(0, 2), number=st.integers(0, 2))
    def preempt(self, job: int, victim: int, slot: int, number: int) -> None:
        """An owner takes a processor from another job, if that agreed to it."""
        mine, theirs = self.pick(job), self.pick(victim)
        if mine is not None and theirs is not None:
            willing = self.world.jobs.specs.get(theirs).queue.preemptible
            done = self.attempt("Jobs", "preempt", self.world.job(mine).owner, mine, slot, theirs, number)
            assert not done or willing

    @rule()
    def look_at_the_queue(self) -> None:
        """All that wait, by rank. Of one priority, those that came in one slot stand as they came (decision 22)."""
        queue, clock = self.world.jobs.queue, self.world.agenda.now()
        order = list(queue.in_order(clock))
        ranks = {job: rank(queue.places.get(job), clock, job) for job in order}
        assert sorted(order) == sorted(job for job, _ in queue.index.items())
        assert [ranks[job][:2] for job in order] == sorted(one[:2] for one in ranks.values())
        left = list(order)
        while left:
            lines = {queue.places.get(job).priority: job for job in reversed(left)}
            assert left.pop(0) == min(lines.values(), key=lambda job: ranks[job]), "the best of the lines' first"
