"""From a job's folder to the JobSpec that is signed, checked by the chain's own rules before anything is sent.

A rule that is broken comes back as Refused, which names the field as heddle.toml has it and what it may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli.accounts import account_of
from cli.blob_client import LocalBlob
from cli.errors import NotFound, Refused
from cli.job_life import (
    assignment_of,
    fallback_of,
    fallback_script,
    mutability_of,
    parts_input,
    parts_of,
    queue_of,
)
from cli.project.environment import EnvironmentInvalid
from cli.project.folder import FILE_NAME, Project, ProjectInvalid, load_project
from cli.project.terms import Terms
from node.processor.runtimes import spec as sandbox
from node.processor.runtimes.spec import LANGUAGES, native_runtime
from node.secrets.boxes import new_key
from node.secrets.owner import environment_of
from pallets.jobs import bounds
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.errors import Field, NotYetSupported, OutOfBounds
from pallets.jobs.types import (
    RETRY_DEFAULT,
    TIMEOUTS_DEFAULT,
    Adaptive,
    Assignment,
    Blob,
    BlobInput,
    Capabilities,
    Credibility,
    Environment,
    InlineInput,
    JobInput,
    JobSpec,
    Known,
    Mutability,
    NoInput,
    OwnerAccept,
    Personal,
    ProcessorChoice,
    Public,
    Quorum,
    Reexecution,
    Requirements,
    Resources,
    RuntimeKind,
    Schedule,
    Sealing,
    Trusted,
    Verification,
)
from pallets.jobs.validate import check_spec
from pallets.secrets.contexts import name_tag
from runtime.errors import PalletError

KINDS = {
    "wasm": RuntimeKind.WASM,
    "javascript": RuntimeKind.JAVASCRIPT,
    "python": RuntimeKind.PYTHON,
    "native-python": RuntimeKind.NATIVE,
    "native-node": RuntimeKind.NATIVE,
}

VERSION_MAX = (1 << 32) - 1

# A field of JobSpec as heddle.toml names it, and what it may be.
NAMES: dict[Field, tuple[str, str]] = {
    Field.RUNTIME: ("runtime", ", ".join(KINDS)),
    Field.ENTRYPOINT: ("entrypoint", f"at most {bounds.ENTRYPOINT_BYTES_MAX} bytes"),
    Field.INPUT: ("input", f"at most {bounds.BLOB_BYTES_MAX} bytes"),
    Field.INTERVAL: ("schedule.interval_ms", f"1..{bounds.HORIZON_MS}"),
    Field.DURATION: ("duration_ms", f"1..{bounds.DURATION_MS_MAX}"),
    Field.START_DELAY: ("schedule.start_delay_max_ms", f"0..{bounds.START_DELAY_MS_MAX}"),
    Field.MEMORY: ("resources.memory_bytes", f"{bounds.MEMORY_BYTES_MIN}..{sandbox.MEMORY_BYTES_MAX}"),
    Field.STORAGE: ("resources.storage_bytes", f"0..{sandbox.STORAGE_BYTES_MAX}"),
    Field.NETWORK_REQUESTS: ("resources.network_requests", f"0..{bounds.NETWORK_REQUESTS_MAX}"),
    Field.FUEL: ("resources.fuel", f"1..{bounds.FUEL_MAX}"),
    Field.OUTPUT: ("resources.output_bytes", f"0..{bounds.OUTPUT_BYTES_MAX}"),
    Field.SLOTS: ("slots", f"1..{bounds.SLOTS_MAX}"),
    Field.REWARD: ("reward", f"0..{bounds.REWARD_MAX} units"),
    Field.REPUTATION: ("processors.reputation_min_ppm", f"0..{bounds.REPUTATION_PPM_MAX}"),
    Field.DESTINATIONS: ("destinations", "addresses that begin with http:// or https://"),
    Field.ATTEMPTS: ("retry.attempts_max", f"1..{bounds.ATTEMPTS_MAX}"),
    Field.LOST: ("retry.lost_max", f"0..{bounds.LOST_MAX}"),
    Field.VERIFICATION: (
        "verification",
        f"agreeing: more than half of the slots; trust: {bounds.TRUST_MIN} or more; window_ms: 2 x duration_ms + 100 s",
    ),
    Field.STAKE_MULTIPLE: (
        "verification.stake_multiple",
        f"0, or {bounds.STAKE_MULTIPLE_MIN}..{bounds.STAKE_MULTIPLE_MAX}",
    ),
    Field.ENVIRONMENT: ("environment", "left out"),
    Field.PRIORITY: ("queue.priority", f"0..{bounds.PRIORITY_MAX}"),
    Field.LANE: ("queue.concurrency", f"1..{bounds.LANE_CONCURRENCY_MAX}"),
    Field.PREEMPTION: ("queue.preemptible", "false where results are compared"),
    Field.ASSIGNMENT: ("assignment.mode", "single where results are compared, and in a lane"),
    Field.INSTANT_MATCH: ("assignment.instant", "one processor for each slot, and no lane"),
    Field.FALLBACK: ("fallback", "a script that the verification mode allows; none with inputs or credibility"),
}
# The rules that have an error of their own: the field to change, and what it may be.
RULES: dict[str, tuple[str, str]] = {
    "EndBeforeStart": ("schedule.executions", "1 or more"),
    "DurationPastInterval": ("schedule.interval_ms", "more than duration_ms"),
    "SlotsOutOfBounds": NAMES[Field.SLOTS],
    "UnknownScript": ("script", "a file of this folder"),
    "ScriptSizeOutOfBounds": ("script", f"1..{bounds.SCRIPT_BYTES_MAX} bytes"),
    "StartMissed": ("schedule.start_ms", "0 for at once, or a time to come"),
    "TooManyExecutions": ("schedule.executions", f"1..{bounds.EXECUTIONS_MAX}, and fewer with many slots"),
    "EndPastHorizon": ("schedule.executions", f"so many that the last starts within {bounds.HORIZON_MS} ms"),
    "SecretsNotAllowed": ("environment", "for processors that you name, or with secrets.public = true"),
    "RewardMissing": ("reward", "more than 0: processors of the public work for a reward"),
    "RewardNotAllowed": ("reward", '"0": processors of your own work without one'),
    "ProcessorsListed": ("processors.accounts", "as many different accounts as there are slots, or more"),
    "InputNotFound": NAMES[Field.INPUT],
}


@dataclass(frozen=True)
class Draft:
    """A job before it is signed: what was written, and the blobs that must be with a node first."""

    project: Project
    script: LocalBlob
    input: LocalBlob | None
    processors: ProcessorChoice
    assignment: Assignment
    mutability: Mutability
    parts: tuple[LocalBlob, ...] = ()
    fallback: LocalBlob | None = None
    secret_key: bytes = field(default_factory=new_key, repr=False)
    """Under which the environment is encrypted."""
    sealing: Sealing = Sealing.SERVED

    @property
    def blobs(self) -> list[LocalBlob]:
        """What is to be uploaded; a small input travels in the specification itself."""
        single = [] if self.input is None or self._inline else [self.input]
        return [self.script, *single, *self.parts, *([] if self.fallback is None else [self.fallback])]

    @property
    def _inline(self) -> bool:
        return self.input is not None and len(self.input.data) <= bounds.INLINE_BYTES_MAX

    def job_input(self) -> JobInput:
        """Where the script's input comes from."""
        if self.parts:
            return parts_input(self.parts)
        if self.input is None:
            return NoInput()
        if self._inline:
            return InlineInput(self.input.data)
        return BlobInput(Blob(self.input.cid, len(self.input.data)))

    def spec(self, now_ms: int) -> JobSpec:
        """The specification, for a job that is registered at this time of the chain."""
        project, terms, limits = self.project, self.project.terms, self.project.limits
        granted = project.capabilities
        start_ms, executions = terms.start_ms or now_ms, len(self.parts) or terms.executions
        retry = replace(RETRY_DEFAULT, attempts_max=terms.attempts_max, lost_max=terms.lost_max)
        return JobSpec(
            script=Blob(self.script.cid, len(self.script.data)),
            runtime=KINDS[project.runtime],
            entrypoint=project.entrypoint,
            input=self.job_input(),
            processors=self.processors,
            assignment=self.assignment,
            schedule=Schedule(
                start_ms,
                start_ms + (executions - 1) * terms.interval_ms + 1 if executions else start_ms,
                terms.interval_ms,
                project.duration_ms,
                terms.start_delay_max_ms,
            ),
            resources=Resources(
                limits.memory_bytes,
                limits.storage_bytes,
                limits.network_requests,
                limits.fuel,
                limits.output_bytes,
            ),
            requirements=Requirements(
                modules=_modules(project),
                labels=terms.labels,
                benchmark_min=terms.benchmark_min,
                version_min=terms.version_min,
            ),
            slots=project.slots,
            reward=project.reward,
            destinations=(Chain(), *(Webhook(url) for url in terms.destinations)),
            gas_per_delivery=0,
            verification=_verification(terms),
            stake_multiple=terms.stake_multiple,
            accepted_min=None,
            retry=retry,
            timeouts=TIMEOUTS_DEFAULT,
            queue=queue_of(project),
            environment=self._environment(),
            capabilities=Capabilities(granted.fetch, self._hidden(), granted.storage, granted.sign),
            mutability=self.mutability,
            fallback=fallback_of(project, self.fallback, KINDS),
        )

    def _environment(self) -> Environment | None:
        """The names as the chain has them."""
        wanted = self.project.environment
        if not wanted.sources:
            return None
        return environment_of(self.secret_key, wanted.sources, self.sealing, public=wanted.public)

    def _hidden(self) -> tuple[bytes, ...]:
        return tuple(sorted(name_tag(self.secret_key, name) for name in self.project.environment.hidden))


def _modules(project: Project) -> tuple[str, ...]:
    """What the processor must have; a native job's language is named, unless its author asks for a version of it."""
    modules = project.terms.modules
    if project.runtime not in LANGUAGES or native_runtime(modules) == project.runtime:
        return modules
    return (LANGUAGES[project.runtime], *modules)


def _verification(terms: Terms) -> Verification:
    """How results become accepted; its bounds are the chain's."""
    modes: dict[str, Verification] = {
        "trusted": Trusted(),
        "owner-accept": OwnerAccept(terms.window_ms),
        "quorum": Quorum(terms.agreeing),
        "credibility": Credibility(terms.trust),
        "adaptive": Adaptive(),
        "reexecution": Reexecution(terms.window_ms),
    }
    return modes[terms.mode]


def read_job(folder: Path, *, slots: int | None = None, reward: int | None = None) -> Draft:
    """The job in `folder`, with `slots` and `reward` (units) in place of the file's; Refused names the field."""
    try:
        project = load_project(folder)
        if slots is not None:
            project = replace(project, slots=slots)
        if reward is not None:
            project = replace(project, reward=reward)
        script = LocalBlob("script", assembled(project))
        parts, fallback = parts_of(project), fallback_script(project)
        data = None if project.input is None else LocalBlob("input", project.read_input())
    except ProjectInvalid as error:
        hint = "make one with `heddle job init FOLDER`" if not (folder / FILE_NAME).is_file() else correct_it(folder)
        raise Refused(str(error), hint) from error
    check_lengths(folder, project, script, data)
    if parts and project.terms.executions not in (1, len(parts)):
        raise Refused(f"schedule.executions: {len(parts)}, one for each of the inputs", correct_it(folder))
    assignment, mutability = assignment_of(project, correct_it(folder)), mutability_of(project, correct_it(folder))
    return Draft(project, script, data, choice_of(folder, project), assignment, mutability, parts, fallback)


def assembled(project: Project) -> bytes:
    """The script's bytes; the text form of WebAssembly is assembled. Refused with the place of its first error."""
    content = project.read_script()
    return as_binary(project.script, content) if project.runtime == "wasm" else content


def as_binary(script: Path, content: bytes) -> bytes:
    """A WebAssembly script as it runs: what is in its text form, `.wat`, is assembled. Refused names the error."""
    if script.suffix != ".wat":
        return content
    from wasmtime import WasmtimeError, wat2wasm

    try:
        return bytes(wat2wasm(content))
    except WasmtimeError as error:
        raise Refused(f"script: {script.name}: {error}", "correct it there") from error


def correct_it(folder: Path) -> str:
    """The next step for whoever wrote the file."""
    return f"correct it in {folder / FILE_NAME}; the fields are in examples/jobs/README.md"


def choice_of(folder: Path, project: Project) -> ProcessorChoice:
    """Who may run it."""
    terms = project.terms
    if terms.choice == "public":
        if terms.accounts:
            raise Refused("processors.accounts: a public job names none", 'add choice = "known", or leave them out')
        return Public(terms.reputation_min_ppm, attested_only=False)
    if terms.reputation_min_ppm:
        raise Refused("processors.reputation_min_ppm: only for public processors", correct_it(folder))
    try:
        accounts = tuple(account_of(text, "processors.accounts") for text in terms.accounts)
    except NotFound as error:
        raise Refused(error.message, correct_it(folder)) from error
    return Known(accounts) if terms.choice == "known" else Personal(accounts)


def environment_values(folder: Path, draft: Draft) -> dict[str, str]:
    """The values of the environment, read now; Refused names the one that cannot be had."""
    try:
        return draft.project.environment.values()
    except EnvironmentInvalid as error:
        raise Refused(str(error), correct_it(folder)) from error


def check_lengths(folder: Path, project: Project, script: LocalBlob, data: LocalBlob | None) -> None:
    """Refused where something is longer or larger than its SCALE type, a blob or the sandbox takes."""
    terms, limits = project.terms, project.limits
    longest_label = longest((*terms.labels, *terms.modules))
    sizes = (
        ("script", len(script.data), bounds.SCRIPT_BYTES_MAX, "bytes"),
        ("input", 0 if data is None else len(data.data), bounds.BLOB_BYTES_MAX, "bytes"),
        ("entrypoint", len(project.entrypoint.encode()), bounds.ENTRYPOINT_BYTES_MAX, "bytes"),
        ("processors.accounts", len(terms.accounts), bounds.PROCESSORS_LISTED_MAX, "accounts"),
        ("requirements.labels", len(terms.labels), bounds.LABELS_MAX, "labels"),
        ("requirements.modules", len(_modules(project)), bounds.MODULES_MAX, "modules"),
        ("requirements.labels and modules", longest_label, bounds.LABEL_BYTES_MAX, "bytes each"),
        ("requirements.version_min", terms.version_min, VERSION_MAX, "as a version"),
        ("verification.agreeing", terms.agreeing, bounds.REPLICAS_MAX, "replicas"),
        ("verification.stake_multiple", terms.stake_multiple, bounds.STAKE_MULTIPLE_MAX, "rewards"),
        ("queue.lane", len(project.life.lane.encode()), bounds.LABEL_BYTES_MAX, "bytes"),
        ("assignment.instant", len(project.life.instant), bounds.SLOTS_MAX, "accounts"),
        ("destinations", len(terms.destinations), bounds.DESTINATIONS_MAX - 1, "beside the chain"),
        ("destinations", longest(terms.destinations), bounds.URL_BYTES_MAX, "bytes"),
        ("capabilities.fetch", len(project.capabilities.fetch), bounds.FETCH_HOSTS_MAX, "hosts"),
        ("capabilities.fetch", longest(project.capabilities.fetch), bounds.HOST_BYTES_MAX, "bytes"),
        ("environment", len(project.environment.sources), bounds.ENVIRONMENT_NAMES_MAX, "names"),
        ("resources.memory_bytes", limits.memory_bytes, sandbox.MEMORY_BYTES_MAX, "bytes"),
        ("resources.storage_bytes", limits.storage_bytes, sandbox.STORAGE_BYTES_MAX, "bytes"),
    )
    for name, size, largest, unit in sizes:
        if size > largest:
            raise Refused(f"{name}: {size}, at most {largest} {unit} are allowed", correct_it(folder))


def longest(texts: Sequence[str]) -> int:
    """Bytes of the longest text, 0 if there is none."""
    return max((len(text.encode()) for text in texts), default=0)


def check_draft(folder: Path, draft: Draft, now_ms: int) -> JobSpec:
    """The specification, if the chain's rules allow it at this time; Refused names the field and what it may be."""
    spec = draft.spec(now_ms)
    try:
        check_spec(spec, now_ms)
    except PalletError as error:
        raise refused(folder, error) from error
    return spec


def refused(folder: Path, error: PalletError) -> Refused:
    """The chain's error in the words of heddle.toml."""
    kind = type(error).__name__
    reason = (error.__doc__ or kind).splitlines()[0].rstrip(".")
    if isinstance(error, OutOfBounds | NotYetSupported):
        field = Field(error.detail)
        name, allowed = NAMES.get(field, (field.name.lower(), "another value"))
        reason = "not supported yet" if isinstance(error, NotYetSupported) else "out of bounds"
    else:
        name, allowed = RULES.get(kind, (kind, "another value"))
    return Refused(f"{name}: {reason}; allowed: {allowed} ({kind})", correct_it(folder))
