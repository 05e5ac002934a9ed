"""What a consumer may do with a job that it has registered: pause and resume it, add money, extend its schedule.

Its editor, if it has one, may replace the script of executions to come.
"""

from dataclasses import replace

from pallets.escrow.types import Pots
from pallets.jobs import bounds, slots, terms
from pallets.jobs.errors import (
    AlreadyPaused,
    EndPastHorizon,
    ExtensionTooLate,
    Field,
    NotEditable,
    NotEditor,
    NothingToEdit,
    NotOwner,
    NotPaused,
    OutOfBounds,
    TooManyExecutions,
    TooManyVersions,
)
from pallets.jobs.events import EditorChanged, JobExtended, JobPaused, JobResumed, JobToppedUp, ScriptEdited
from pallets.jobs.records import Job, ScriptVersion
from pallets.jobs.schedule import executions_of, first_from, start_of
from pallets.jobs.slots import HELD
from pallets.jobs.store import WHOLE_JOB, JobStore
from pallets.jobs.types import Blob, Competing, Editor, JobSpec, PartsInput
from pallets.jobs.validate import check_script_blob, check_verification
from runtime.pallet import Signed, call
from runtime.scale import U64, U128
from runtime.types import AccountId

EDIT_NOTICE_MS = 600_000
"""An edit applies to executions that start so much later (spec/job-layer.md §1)."""


class ConsumerCalls(JobStore):
    """The calls of a job's owner after its registration."""

    @call(index=9, weight=WHOLE_JOB, refundable=True)
    def pause(self, origin: Signed, job: U64) -> None:
        """Match and begin nothing more; what runs goes on. After an hour the processors are let go, without fault."""
        if self._own(origin.who, job).paused_at is not None:
            raise AlreadyPaused
        self.change_job(job, paused_at=self.agenda.now())
        self.relist(job)
        self.emit(JobPaused(job))
        self._rearm_slots(job)

    @call(index=10, weight=WHOLE_JOB, refundable=True)
    def resume(self, origin: Signed, job: U64) -> None:
        """End a pause. Executions whose time went by meanwhile are left out; their money comes back at the end."""
        if self._own(origin.who, job).paused_at is None:
            raise NotPaused
        self.change_job(job, paused_at=None)
        self.relist(job)
        self.emit(JobResumed(job))
        self._rearm_slots(job)

    @call(index=11, weight=WHOLE_JOB, refundable=True)
    def top_up(self, origin: Signed, job: U64, amount: U128) -> None:
        """Add money that an extension, a fallback or a preemption may use; what is left comes back at the end."""
        if not 0 < amount <= bounds.REWARD_MAX:
            raise OutOfBounds(Field.TOP_UP)
        self._own(origin.who, job)
        self.escrow.top_up(job, amount)
        self.emit(JobToppedUp(job, amount))

    @call(index=12, weight=WHOLE_JOB, refundable=True)
    def extend(self, origin: Signed, job: U64, end_ms: U64) -> None:
        """Move the end of the schedule on: more executions, on the same terms, for which the deposit grows.

        Every processor that holds a slot must have room for them, and may resign freely until the first comes up.
        """
        record = self._own(origin.who, job)
        spec = self.specs.get(job)
        longer = replace(spec, schedule=replace(spec.schedule, end_ms=end_ms))
        count = self._extended(record, spec, longer)
        for number, slot in list(self.slots_of(job)):
            competed_for = isinstance(spec.assignment, Competing)
            if slot.state in HELD and slot.processor is not None and not competed_for:
                self.processors.lengthen(slot.processor, job, number, count - record.executions)
        before, after = terms.deposit(self, spec, record.executions), terms.deposit(self, longer, count)
        self.escrow.extend(job, difference(after, before))
        self.specs.put(job, longer)
        self.change_job(
            job,
            executions=count,
            total_deadline=terms.total_deadline(self, longer),
            leave_until_ms=max(record.leave_until_ms, start_of(spec.schedule, 0, record.executions)),
        )
        self.emit(JobExtended(job, end_ms, count))
        self._rearm_slots(job)

    @call(index=13, weight=WHOLE_JOB, refundable=True)
    def edit_script(self, origin: Signed, job: U64, script: Blob) -> None:
        """Replace the script of the executions that start in ten minutes or later; processors may resign until then."""
        spec = self._edited(origin.who, job)
        check_script_blob(script)
        effective_ms = self.system.now_ms + EDIT_NOTICE_MS
        first = first_from(spec.schedule, effective_ms)
        if first >= self.jobs.get(job).executions:
            raise NothingToEdit
        versions = self._versions_in_use(job)
        kept = tuple(version for version in versions if version.first < first)
        if len(kept) == bounds.SCRIPT_VERSIONS_MAX:
            raise TooManyVersions
        self.scripts.put(job, (*kept, ScriptVersion(first, script)))
        self.change_job(job, leave_until_ms=max(self.jobs.get(job).leave_until_ms, effective_ms))
        self.emit(ScriptEdited(job, first, script))

    @call(index=14, weight=WHOLE_JOB, refundable=True)
    def transfer_editor(self, origin: Signed, job: U64, editor: AccountId) -> None:
        """Have somebody else edit the script from now on."""
        spec = self._edited(origin.who, job)
        self.specs.put(job, replace(spec, mutability=Editor(editor)))
        self.emit(EditorChanged(job, editor))

    def _edited(self, who: bytes, id: int) -> JobSpec:
        """The specification of a live job that `who` may edit: raises NotEditable, NotEditor."""
        self.live_job(id)
        slots.advance_job(self, id)
        self.live_job(id)
        spec = self.specs.get(id)
        if not isinstance(spec.mutability, Editor):
            raise NotEditable
        if spec.mutability.editor != who:
            raise NotEditor
        return spec

    def _versions_in_use(self, id: int) -> tuple[ScriptVersion, ...]:
        """Without those that every execution still open is past. While results await judgment, none is forgotten."""
        if self.jobs.get(id).awaiting:
            return self.scripts.get(id)
        oldest = min(min((*slot.live, slot.next)) for _, slot in self.slots_of(id))
        versions = self.scripts.get(id)
        replaced = sum(version.first <= oldest for version in versions[1:])
        return versions[replaced:]

    def _extended(self, record: Job, spec: JobSpec, longer: JobSpec) -> int:
        """The number of executions per slot after an extension, if the rules allow it."""
        end_ms = longer.schedule.end_ms
        if isinstance(spec.input, PartsInput):
            raise OutOfBounds(Field.INPUT)
        if record.closed_slots or record.fell_back:
            raise ExtensionTooLate
        if end_ms > self.system.now_ms + bounds.HORIZON_MS:
            raise EndPastHorizon
        if end_ms <= spec.schedule.end_ms or executions_of(longer.schedule) == record.executions:
            raise OutOfBounds(Field.END)
        count = executions_of(longer.schedule)
        if count > bounds.EXECUTIONS_MAX or count * spec.slots > bounds.EXECUTIONS_TIMES_SLOTS_MAX:
            raise TooManyExecutions
        check_verification(longer, count)
        return count

    def _own(self, who: bytes, id: int) -> Job:
        """The live job of `who`, after what is due for it: raises JobNotFound, JobEnded, NotOwner."""
        self.live_job(id)
        slots.advance_job(self, id)
        job = self.live_job(id)
        if job.owner != who:
            raise NotOwner
        return job

    def _rearm_slots(self, id: int) -> None:
        """Bring up what is near in every slot, and have the agenda look at each in time. The job may end by it."""
        for number in range(self.jobs.get(id).slots):
            if self.is_live(id):
                slots.rearm(self, id, number)


def difference(after: Pots, before: Pots) -> Pots:
    """What each pot of the larger deposit has more."""
    return Pots(*(getattr(after, name) - getattr(before, name) for name in Pots.__slots__))
