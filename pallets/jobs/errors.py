"""What Jobs refuses, one error per rule."""

from enum import IntEnum

from runtime.errors import PalletError


class Field(IntEnum):
    """A field of JobSpec: the detail byte of NotYetSupported and OutOfBounds."""

    SCRIPT = 0
    RUNTIME = 1
    ENTRYPOINT = 2
    INPUT = 3
    PROCESSORS = 4
    ASSIGNMENT = 5
    START = 6
    END = 7
    INTERVAL = 8
    DURATION = 9
    START_DELAY = 10
    MEMORY = 11
    STORAGE = 12
    NETWORK_REQUESTS = 13
    FUEL = 14
    OUTPUT = 15
    REQUIREMENTS = 16
    SLOTS = 17
    REWARD = 18
    DESTINATIONS = 19
    GAS = 20
    VERIFICATION = 21
    STAKE_MULTIPLE = 22
    ACCEPTED_MIN = 23
    ATTEMPTS = 24
    LOST = 25
    BACKOFF = 26
    ACKNOWLEDGE = 27
    QUEUE_TIME = 28
    PRIORITY = 29
    LANE = 30
    PREEMPTION = 31
    ENVIRONMENT = 32
    FETCH_HOSTS = 33
    SECRETS = 34
    MUTABILITY = 35
    FALLBACK = 36
    INSTANT_MATCH = 37
    ATTESTATION = 38
    REPUTATION = 39
    TOP_UP = 40


class NotYetSupported(PalletError):
    """The rules of this field's value are not in force yet; the detail names the field."""

    index = 0


class OutOfBounds(PalletError):
    """A value lies outside its bounds; the detail names the field."""

    index = 1


class EndBeforeStart(PalletError):
    """The schedule's end is not after its start."""

    index = 2


class DurationPastInterval(PalletError):
    """An execution may last as long as the interval or longer."""

    index = 3


class SlotsOutOfBounds(PalletError):
    """A job has 1 to 64 slots."""

    index = 4


class UnknownScript(PalletError):
    """The script's CID is not a CIDv1 of raw bytes by sha2-256."""

    index = 5


class ScriptSizeOutOfBounds(PalletError):
    """The script is declared empty or larger than 4 MiB."""

    index = 6


class StartMissed(PalletError):
    """The first start and its delay are over already."""

    index = 7


class TooManyExecutions(PalletError):
    """More than 100,000 executions, or 1,000,000 over all slots."""

    index = 8


class EndPastHorizon(PalletError):
    """The schedule ends later than the chain plans ahead."""

    index = 9


class RewardMissing(PalletError):
    """Public processors work for a reward."""

    index = 10


class RewardNotAllowed(PalletError):
    """Personal processors work without a reward."""

    index = 11


class ProcessorsListed(PalletError):
    """The list of processors is empty, names one twice, or is shorter than the number of slots."""

    index = 12


class InputNotFound(PalletError):
    """The input's CID is not a CIDv1 of raw bytes by sha2-256, or its size is out of bounds."""

    index = 13


class TooManyOpenJobs(PalletError):
    """The owner has as many live jobs as one account may have."""

    index = 14


class AgendaOverloaded(PalletError):
    """The chain is behind with its own deadlines and takes no new ones for now."""

    index = 15


class JobNotFound(PalletError):
    """There is no such job."""

    index = 16


class NotOwner(PalletError):
    """Only the job's owner may do this."""

    index = 17


class JobEnded(PalletError):
    """The job has ended already."""

    index = 18


class NotTheProcessor(PalletError):
    """The slot is not this processor's."""

    index = 19


class StaleGeneration(PalletError):
    """The slot has been offered anew since: the generation is an old one."""

    index = 20


class StaleAttempt(PalletError):
    """The execution is at another attempt."""

    index = 21


class NotOffered(PalletError):
    """The slot has no offer to answer."""

    index = 22


class NotAcknowledged(PalletError):
    """The slot is not acknowledged, or the job is not assigned yet."""

    index = 23


class ExecutionNotLive(PalletError):
    """The execution has not come up yet, or has ended."""

    index = 24


class NotScheduled(PalletError):
    """The execution has been started already."""

    index = 25


class NotRunning(PalletError):
    """The execution has not been started, or is not running any more."""

    index = 26


class StartTooEarly(PalletError):
    """The execution may not start yet."""

    index = 27


class FailureNotReportable(PalletError):
    """Failures of this class are found by the chain, not reported."""

    index = 28


class OutputTooLarge(PalletError):
    """The output is larger than the job allows, or its CID is malformed."""

    index = 29


class UnknownDestination(PalletError):
    """The job has no such destination, or it is named twice."""

    index = 30


class SlotNotFound(PalletError):
    """The job has no slot of this number."""

    index = 31


class KeyMismatch(PalletError):
    """A job with sealed values needs a key at acknowledgment; one without takes none."""

    index = 32


class QueueFull(PalletError):
    """So many jobs wait for processors that the chain takes no new ones for now."""

    index = 33


class AlreadyPaused(PalletError):
    """The job is paused already."""

    index = 34


class NotPaused(PalletError):
    """The job is not paused."""

    index = 35


class ExtensionTooLate(PalletError):
    """A slot of the job has had its last execution already, or the job has fallen back."""

    index = 36


class SecretsNotAllowed(PalletError):
    """The job may have no secrets: the public is not let in to them, or others must be able to repeat its runs."""

    index = 37


class UseCommit(PalletError):
    """Results of this mode are committed and revealed (Verification), not reported."""

    index = 38


class NotEditable(PalletError):
    """Nobody may change the script of this job."""

    index = 39


class NotEditor(PalletError):
    """Only the script's editor may do this."""

    index = 40


class NothingToEdit(PalletError):
    """No execution starts late enough to get another script."""

    index = 41


class TooManyVersions(PalletError):
    """Too many scripts of this job are still to be executed."""

    index = 42


class CheckpointNotAllowed(PalletError):
    """Results of this job are compared, so that no attempt may go on from the state of another."""

    index = 43


class PreemptionNotAllowed(PalletError):
    """The other job did not agree to be interrupted, is not so much less urgent, or was interrupted too often."""

    index = 44


ERRORS = (
    NotYetSupported,
    OutOfBounds,
    EndBeforeStart,
    DurationPastInterval,
    SlotsOutOfBounds,
    UnknownScript,
    ScriptSizeOutOfBounds,
    StartMissed,
    TooManyExecutions,
    EndPastHorizon,
    RewardMissing,
    RewardNotAllowed,
    ProcessorsListed,
    InputNotFound,
    TooManyOpenJobs,
    AgendaOverloaded,
    JobNotFound,
    NotOwner,
    JobEnded,
    NotTheProcessor,
    StaleGeneration,
    StaleAttempt,
    NotOffered,
    NotAcknowledged,
    ExecutionNotLive,
    NotScheduled,
    NotRunning,
    StartTooEarly,
    FailureNotReportable,
    OutputTooLarge,
    UnknownDestination,
    SlotNotFound,
    KeyMismatch,
    QueueFull,
    AlreadyPaused,
    NotPaused,
    ExtensionTooLate,
    SecretsNotAllowed,
    UseCommit,
    NotEditable,
    NotEditor,
    NothingToEdit,
    TooManyVersions,
    CheckpointNotAllowed,
    PreemptionNotAllowed,
)
