"""The fields of heddle.toml that steer a job's life reach the JobSpec, and each wrong one is named."""

from pathlib import Path

import pytest

from cli.accounts import account_of
from cli.errors import Refused
from cli.job_spec import check_draft, read_job
from pallets.jobs.types import Competing, Editor, Immutable, InstantMatch, Lane, PartsInput, Queue, RuntimeKind, Single
from tests.helpers.job_folders import job_folder

NOW_MS = 1_800_000_000_000
BOB, CHARLIE = (account_of(name, "account") for name in ("//Bob", "//Charlie"))


def without_input(folder: Path) -> Path:
    """The folder's job without its `input` line."""
    file = folder / "heddle.toml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("input =")))
    return folder


def test_queue_editor_and_fallback_reach_the_specification(tmp_path: Path) -> None:
    """Each field is where the chain has it; the fallback's script is uploaded with the job's."""
    extra = """
[queue]
priority = 9
lane = "builds"
concurrency = 2
preemptible = true
[fallback]
script = "plan-b.js"
runtime = "javascript"
entrypoint = "other"
"""
    folder = job_folder(tmp_path / "job", top='editor = "//Bob"', extra=extra)
    (folder / "plan-b.js").write_text("function other() { return 1 }")
    draft = read_job(folder)
    spec = check_draft(folder, draft, NOW_MS)
    assert spec.queue == Queue(9, Lane("builds", 2), preemptible=True)
    assert spec.mutability == Editor(BOB)
    assert spec.fallback is not None
    assert (spec.fallback.runtime, spec.fallback.entrypoint) == (RuntimeKind.JAVASCRIPT, "other")
    assert [blob.label for blob in draft.blobs] == ["script", "fallback"]
    assert spec.fallback.script.cid == draft.blobs[1].cid


def test_left_out_they_mean_nothing(tmp_path: Path) -> None:
    """A job of one input, immutable, without a lane, a fallback or named processors."""
    folder = job_folder(tmp_path / "job")
    spec = check_draft(folder, read_job(folder), NOW_MS)
    assert (spec.queue, spec.mutability, spec.fallback, spec.assignment) == (Queue(), Immutable(), None, Single())


def test_inputs_make_one_execution_for_each_file(tmp_path: Path) -> None:
    """Patterns are sorted by name, files keep their order; every part is a blob to be uploaded."""
    folder = without_input(job_folder(tmp_path / "job", top='inputs = ["last.csv", "parts/*.csv"]'))
    (folder / "parts").mkdir()
    for name in ("parts/b.csv", "parts/a.csv", "last.csv"):
        (folder / name).write_text(name)
    draft = read_job(folder)
    spec = check_draft(folder, draft, NOW_MS)
    assert [part.data for part in draft.parts] == [b"last.csv", b"parts/a.csv", b"parts/b.csv"]
    assert isinstance(spec.input, PartsInput)
    assert [part.cid for part in spec.input.parts] == [blob.cid for blob in draft.blobs[1:]]
    schedule = spec.schedule
    assert (schedule.end_ms - schedule.start_ms - 1) // schedule.interval_ms + 1 == 3


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ('[assignment]\nmode = "competing"', Competing()),
        ('[assignment]\ninstant = ["//Charlie"]', Single((InstantMatch(CHARLIE, 0),))),
    ],
)
def test_an_assignment_reaches_the_specification(extra: str, expected: object, tmp_path: Path) -> None:
    """Competing, or processors by name."""
    folder = job_folder(tmp_path / "job", slots="1", extra=extra)
    assert check_draft(folder, read_job(folder), NOW_MS).assignment == expected


BAD: list[tuple[str, dict[str, str]]] = [
    ("queue.priority", {"extra": "[queue]\npriority = 32"}),
    ("queue.priority", {"extra": "[queue]\npriority = 256"}),
    ("queue.concurrency", {"extra": '[queue]\nlane = "a"\nconcurrency = 0'}),
    ("queue.concurrency", {"extra": '[queue]\nlane = "a"\nconcurrency = 65'}),
    ("queue.lane", {"extra": f'[queue]\nlane = "{"a" * 33}"'}),
    ("queue.lane", {"extra": "[queue]\nlane = 1"}),
    ("queue.preemptible", {"extra": "[queue]\npreemptible = 1"}),
    ("queue.color", {"extra": "[queue]\ncolor = 1"}),
    ("queue", {"top": "queue = 1"}),
    ("assignment.mode", {"extra": '[assignment]\nmode = "fair"'}),
    ("assignment.mode", {"extra": '[assignment]\nmode = "competing"\n[queue]\nlane = "a"'}),
    ("assignment.instant", {"extra": '[assignment]\ninstant = ["nobody"]'}),
    ("assignment.instant", {"extra": '[assignment]\ninstant = ["//Bob", "//Bob"]', "slots": "2"}),
    ("assignment.instant", {"extra": '[assignment]\nmode = "competing"\ninstant = ["//Bob"]'}),
    ("editor", {"top": 'editor = "nobody"'}),
    ("editor", {"top": "editor = 1"}),
    ("fallback.script", {"extra": '[fallback]\nruntime = "python"'}),
    ("fallback.script", {"extra": '[fallback]\nscript = "absent.py"'}),
    ("fallback.script", {"extra": '[fallback]\nscript = "../main.py"'}),
    ("fallback.runtime", {"extra": '[fallback]\nscript = "main.py"\nruntime = "cobol"'}),
    ("fallback", {"extra": f'[fallback]\nscript = "main.py"\nentrypoint = "{"m" * 64}n"'}),
    ("inputs", {"top": 'inputs = ["input.txt"]'}),
]


@pytest.mark.parametrize(("field", "changes"), BAD)
def test_a_wrong_field_is_refused_by_its_name(field: str, changes: dict[str, str], tmp_path: Path) -> None:
    """Refused, with the name as heddle.toml has it and what to do."""
    folder = job_folder(tmp_path / "job", **dict(changes))
    with pytest.raises(Refused) as error:
        check_draft(folder, read_job(folder), NOW_MS)
    assert field in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("pattern", ["absent/*.csv", "../*.csv", "/etc/hostname"])
def test_inputs_lie_in_the_jobs_folder(pattern: str, tmp_path: Path) -> None:
    """A pattern that finds nothing, or leads out, is refused."""
    folder = without_input(job_folder(tmp_path / "job", top=f'inputs = ["{pattern}"]'))
    with pytest.raises(Refused, match="inputs"):
        read_job(folder)


def test_executions_are_as_many_as_inputs(tmp_path: Path) -> None:
    """Another number is refused rather than taken for something else."""
    top = 'inputs = ["input.txt"]'
    folder = without_input(job_folder(tmp_path / "job", top=top, extra="[schedule]\nexecutions = 2"))
    with pytest.raises(Refused, match=r"schedule\.executions"):
        read_job(folder)
