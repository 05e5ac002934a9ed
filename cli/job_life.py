"""What heddle.toml says of a job's life, as the chain has it: assignment, queue, editor, fallback, inputs."""

from pathlib import Path

from cli.accounts import account_of
from cli.blob_client import LocalBlob
from cli.errors import NotFound, Refused
from cli.project.folder import Project, ProjectInvalid
from pallets.jobs import bounds
from pallets.jobs.types import (
    Assignment,
    Blob,
    Competing,
    Editor,
    Fallback,
    Immutable,
    InstantMatch,
    Lane,
    Mutability,
    PartsInput,
    Queue,
    RuntimeKind,
    Single,
)


def assignment_of(project: Project, hint: str) -> Assignment:
    """How processors get the slots. Raises Refused with the hint."""
    life = project.life
    if life.competing:
        if life.instant:
            raise Refused("assignment.instant: nobody competes where processors are named", hint)
        return Competing()
    return Single(tuple(InstantMatch(_account(name, "assignment.instant", hint), 0) for name in life.instant))


def queue_of(project: Project) -> Queue:
    """Its place among others."""
    life = project.life
    lane = Lane(life.lane, life.concurrency) if life.lane else None
    return Queue(life.priority, lane, life.preemptible)


def mutability_of(project: Project, hint: str) -> Mutability:
    """Who may replace the script. Raises Refused with the hint."""
    editor = project.life.editor
    return Editor(_account(editor, "editor", hint)) if editor else Immutable()


def _account(text: str, field: str, hint: str) -> bytes:
    try:
        return account_of(text, field)
    except NotFound as error:
        raise Refused(error.message, hint) from error


def fallback_of(project: Project, script: LocalBlob | None, kinds: dict[str, RuntimeKind]) -> Fallback | None:
    """What runs instead after a failure."""
    if script is None:
        return None
    life = project.life
    return Fallback(Blob(script.cid, len(script.data)), kinds[life.fallback_runtime], life.fallback_entrypoint)


def fallback_script(project: Project) -> LocalBlob | None:
    """Its bytes. Raises ProjectInvalid."""
    path = project.life.fallback_script
    return None if path is None else LocalBlob("fallback", _read(path, "fallback.script"))


def parts_of(project: Project) -> tuple[LocalBlob, ...]:
    """One blob for each execution. Raises ProjectInvalid."""
    paths = project.life.inputs
    if len(paths) > bounds.PARTS_MAX:
        raise ProjectInvalid(f"inputs: {len(paths)} files, at most {bounds.PARTS_MAX} are allowed")
    return tuple(LocalBlob(f"input {number}", _read(path, "inputs")) for number, path in enumerate(paths))


def parts_input(parts: tuple[LocalBlob, ...]) -> PartsInput:
    """As the chain has them."""
    return PartsInput(tuple(Blob(part.cid, len(part.data)) for part in parts))


def _read(path: Path, field: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProjectInvalid(f"{field}: cannot read {path}") from error
    largest = bounds.SCRIPT_BYTES_MAX if field == "fallback.script" else bounds.BLOB_BYTES_MAX
    if len(data) > largest:
        raise ProjectInvalid(f"{field}: {path.name} has {len(data)} bytes, at most {largest} are allowed")
    return data
