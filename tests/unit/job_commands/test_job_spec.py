"""From a folder to a JobSpec: the templates are good jobs, and each wrong field is named before anything is signed."""

from pathlib import Path

import pytest

from cli.errors import NotFound, Refused
from cli.job_secrets import keep_key, kept_key
from cli.job_spec import check_draft, environment_values, read_job
from node.keys.pair import dev_pair
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.types import (
    Adaptive,
    Credibility,
    InlineInput,
    Known,
    NoInput,
    OwnerAccept,
    Public,
    Quorum,
    Reexecution,
    RuntimeKind,
    Verification,
)
from pallets.secrets.contexts import name_tag
from runtime.heddle import Heddle
from tests.helpers.heddle_command import Heddle as User
from tests.helpers.heddle_command import surroundings
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


MODES: list[tuple[str, str, Verification]] = [
    ('mode = "owner-accept"\nwindow_ms = 60_000', "2", OwnerAccept(60_000)),
    ('mode = "quorum"\nagreeing = 3', "4", Quorum(3)),
    ('mode = "credibility"\ntrust = 64', "8", Credibility(64)),
    ('mode = "adaptive"', "1", Adaptive()),
    ('mode = "reexecution"\nwindow_ms = 400_000', "1", Reexecution(400_000)),
]


@pytest.mark.parametrize(("written", "slots", "mode"), MODES)
def test_a_verification_mode_is_written_by_its_name(
    written: str, slots: str, mode: Verification, tmp_path: Path
) -> None:
    """Each mode of the chain with its number."""
    folder = job_folder(tmp_path / "job", slots=slots, extra=f"[verification]\nstake_multiple = 24\n{written}\n")
    spec = check_draft(folder, read_job(folder), NOW_MS)
    assert spec.verification == mode
    assert spec.stake_multiple == 24


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


def test_an_environment_reaches_the_specification_as_tags_and_never_as_values(tmp_path: Path) -> None:
    """Values come from the shell, a file outside and the text; hidden names are secrets; nothing shows a value."""
    (tmp_path / "key").write_text("file-value\n")
    extra = """
[environment]
SHELL = { from = "env", variable = "FROM_SHELL" }
FILE = { from = "file", path = "../key", hidden = true }
TEXT = "text-value"
[secrets]
public = true
"""
    folder = job_folder(tmp_path / "job", extra=extra)
    draft = read_job(folder)
    spec = check_draft(folder, draft, NOW_MS)
    with surroundings("", {"FROM_SHELL": "shell-value"}):
        values = environment_values(folder, draft)
    assert values == {"SHELL": "shell-value", "FILE": "file-value", "TEXT": "text-value"}
    assert spec.environment is not None
    assert spec.environment.names == tuple(sorted(name_tag(draft.secret_key, name) for name in values))
    assert spec.capabilities.secrets == (name_tag(draft.secret_key, "FILE"),)
    assert not any(value in repr(draft) + repr(spec) for value in values.values())
    assert draft.secret_key.hex() not in repr(draft)
    with pytest.raises(Refused) as error:
        environment_values(folder, draft)
    assert "environment.SHELL" in error.value.message


def test_a_jobs_key_opens_for_the_account_that_signed_it_only(tmp_path: Path) -> None:
    """The file is private and locked; another account and a missing file are refused."""
    alice, bob = dev_pair("Alice"), dev_pair("Bob")
    with surroundings("", {"HEDDLE_HOME": str(tmp_path)}):
        path = keep_key(alice, bytes(32), b"k" * 32)
        assert path.stat().st_mode & 0o077 == 0
        assert (b"k" * 32).hex() not in path.read_text()
        assert kept_key(alice, bytes(32)) == b"k" * 32
        with pytest.raises(Refused):
            kept_key(bob, bytes(32))
        with pytest.raises(NotFound):
            kept_key(alice, b"\x01" * 32)
