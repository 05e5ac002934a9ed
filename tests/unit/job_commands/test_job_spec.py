"""From a folder to a JobSpec: the templates are good jobs, and each wrong field is named before anything is signed."""

from pathlib import Path

import pytest

from cli.errors import Refused
from cli.job_spec import check_draft, read_job
from pallets.jobs.types import Chain, InlineInput, Known, NoInput, Public, RuntimeKind, Webhook
from runtime.heddle import Heddle
from tests.helpers.heddle_command import Heddle as User
from tests.helpers.job_folders import BAD_FIELDS, job_folder

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize("runtime", ["wasm", "javascript", "python"])
def test_a_template_is_a_job_that_the_chain_allows(runtime: str, tmp_path: Path) -> None:
    """What `job init` writes passes the chain's rules as it is, and its call encodes."""
    folder = job_folder(tmp_path / "job", runtime)
    draft = read_job(folder)
    spec = check_draft(folder, draft, NOW_MS)
    assert spec.runtime is RuntimeKind[runtime.upper()]
    assert isinstance(spec.input, InlineInput)
    assert spec.schedule.start_ms == NOW_MS
    assert [blob.label for blob in draft.blobs] == ["script"]
    chain = Heddle()
    call = chain.definition("Jobs", "register")(spec)
    assert chain.call_codec.decode(chain.call_codec.encode(call)) == call


@pytest.mark.parametrize(("field", "changes"), BAD_FIELDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_field_is_refused_by_name(field: str, changes: dict[str, str], tmp_path: Path) -> None:
    """Each field out of its bounds, of the wrong kind or unknown is Refused by its name in heddle.toml."""
    folder = job_folder(tmp_path / "job", **dict(changes))
    with pytest.raises(Refused) as error:
        check_draft(folder, read_job(folder), NOW_MS)
    assert field in error.value.message
    assert error.value.hint


def test_every_term_reaches_the_specification(tmp_path: Path) -> None:
    """Schedule, processors, requirements, retry and destinations of heddle.toml are those of the signed JobSpec."""
    extra = """
[schedule]
executions = 3
interval_ms = 90_000
start_ms = 1_800_000_100_000
start_delay_max_ms = 7_000
[processors]
choice = "known"
accounts = ["//Bob", "//Charlie"]
[requirements]
labels = ["eu"]
benchmark_min = 5
[retry]
attempts_max = 2
lost_max = 1
"""
    folder = job_folder(tmp_path / "job", top='destinations = ["https://a.example/in"]', slots="2", extra=extra)
    spec = check_draft(folder, read_job(folder), NOW_MS)
    schedule = spec.schedule
    assert (schedule.start_ms, schedule.interval_ms, schedule.start_delay_max_ms) == (1_800_000_100_000, 90_000, 7_000)
    assert (schedule.end_ms - schedule.start_ms - 1) // schedule.interval_ms + 1 == 3
    assert isinstance(spec.processors, Known)
    assert len(spec.processors.processors) == spec.slots == 2
    assert (spec.requirements.labels, spec.requirements.benchmark_min) == (("eu",), 5)
    assert (spec.retry.attempts_max, spec.retry.lost_max) == (2, 1)
    assert spec.destinations == (Chain(), Webhook("https://a.example/in"))


def test_options_go_before_the_file(tmp_path: Path) -> None:
    """--slots and --reward replace the file's values, and are held to the same bounds."""
    folder = job_folder(tmp_path / "job")
    spec = check_draft(folder, read_job(folder, slots=7, reward=5), NOW_MS)
    assert (spec.slots, spec.reward) == (7, 5)
    assert isinstance(spec.processors, Public)
    with pytest.raises(Refused, match="slots"):
        check_draft(folder, read_job(folder, slots=65), NOW_MS)


def test_no_input_and_a_large_one(tmp_path: Path) -> None:
    """Without `input` the job has none; one above 4,096 bytes becomes a blob that is uploaded."""
    folder = job_folder(tmp_path / "job")
    (folder / "input.txt").write_bytes(bytes(4_097))
    draft = read_job(folder)
    assert [blob.label for blob in draft.blobs] == ["script", "input"]
    file = folder / "heddle.toml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("input")))
    assert isinstance(check_draft(folder, read_job(folder), NOW_MS).input, NoInput)


def test_text_that_is_no_module_is_refused(tmp_path: Path) -> None:
    """A .wat that does not assemble is refused with the place of its error, before anything is sent."""
    folder = job_folder(tmp_path / "job", "wasm")
    (folder / "main.wat").write_text('(module (func (export "main") (i32.add)')
    with pytest.raises(Refused, match=r"main\.wat"):
        read_job(folder)


def test_init_never_writes_over_anything(tmp_path: Path) -> None:
    """`job init` refuses a folder that holds something, a file, and a runtime that there is not."""
    user = User(tmp_path / "home")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert user.error("job", "init", str(tmp_path / "full"))[0] == 4
    assert user.error("job", "init", str(tmp_path / "full" / "mine.txt"))[0] == 4
    assert user.error("job", "init", str(tmp_path / "new"), "--runtime", "cobol")[0] == 4
    assert not (tmp_path / "new").exists()
    assert user.json("job", "init", str(tmp_path / "new"))["files"] == ["heddle.toml", "main.py", "input.txt"]
