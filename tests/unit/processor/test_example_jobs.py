"""The example jobs over their real input: two replicas agree, and an independent computation agrees with them."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import trio

from cli.project.folder import Project, ProjectInvalid, load_project
from node.processor.runtimes.outcome import Outcome, blake2b256, result_digest
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.spec import JobContext, RunSpec

JOBS = Path(__file__).resolve().parents[3] / "examples" / "jobs"
NAMES = ("airports-js", "airports-python", "airports-wasm")

REPLICAS = 2


def load_check() -> ModuleType:
    """examples/jobs/check.py, which is data and no package."""
    spec = importlib.util.spec_from_file_location("example_check", JOBS / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def replicas(project: Project) -> list[Outcome]:
    """The job in two workers at once."""
    limits = replace(project.limits, wall_ms=170_000)  # other tests share the processor
    spec = RunSpec(
        project.runtime, project.read_script(), project.entrypoint, project.read_input(), JobContext("job"), limits
    )
    found: list[Outcome] = []
    async with RuntimePool(REPLICAS) as pool, trio.open_nursery() as nursery:

        async def one() -> None:
            found.append(await pool.run(spec))

        for _ in range(REPLICAS):
            nursery.start_soon(one)
    return found


@pytest.mark.deadline(180)
@pytest.mark.parametrize("name", NAMES)
def test_example_job(name: str) -> None:
    """Both replicas give the same digest and fuel, far under the limits, and the result is right."""
    project = load_project(JOBS / name)
    one, other = trio.run(replicas, project)
    assert one.failure is None, one.message + one.logs
    assert one == other
    script, data = blake2b256(project.read_script()), blake2b256(project.read_input())
    assert result_digest(script, data, 0, one) == result_digest(script, data, 0, other)
    assert one.fuel_used < project.limits.fuel // 2
    assert one.memory_peak < project.limits.memory_bytes // 2
    check = load_check()
    assert check.check(name, project.read_input(), one.output) == []
    assert check.check(name, project.read_input(), one.output.replace(b"1", b"2")) != []


def test_check_says_what_is_wrong() -> None:
    """What is no result at all is a problem, not an exception."""
    check = load_check()
    for name in NAMES:
        for output in (b"", b"[]", b"{}", b'{"airports":1}', b"\xff"):
            assert check.check(name, b"icao,iata,country,tz,elevation,lat,lon\n", output) != []


def write(folder: Path, text: str) -> Path:
    """A job's folder with this heddle.toml."""
    (folder / "heddle.toml").write_text(text)
    return folder


def test_project_defaults(tmp_path: Path) -> None:
    """Runtime and script are enough; the rest has defaults, and a reward is counted in 10^-12 HDL."""
    (tmp_path / "a.js").write_text("export function main() {}")
    project = load_project(write(tmp_path, 'runtime = "javascript"\nscript = "a.js"\nreward = "1.25"'))
    assert (project.slots, project.reward, project.input) == (1, 1_250_000_000_000, None)
    assert project.read_script() == b"export function main() {}"
    assert project.read_input() == b""
    assert project.limits.wall_ms == project.duration_ms


BASE = 'runtime = "wasm"\nscript = "a.wasm"\n'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "runtime"),
        ('runtime = "cobol"', "runtime"),
        ('runtime = "wasm"', "script"),
        ('runtime = "wasm"\nscript = "../a"', "script"),
        (BASE + "slots = 0", "slots"),
        (BASE + "slots = 65", "slots"),
        (BASE + "slots = true", "slots"),
        (BASE + "reward = 1", "reward"),
        (BASE + 'reward = "-1"', "reward"),
        (BASE + 'reward = "1.0000000000001"', "reward"),
        (BASE + "colour = 1", "colour"),
        (BASE + "duration_ms = 0", "duration_ms"),
        (BASE + 'input = "/etc/passwd"', "input"),
        (BASE + 'input = "pypi:airportsdata/../x"', "input"),
        (BASE + 'input = "pypi:no-such/x"', "input"),
        (BASE + "[resources]\nfuel = 0", "fuel"),
        (BASE + "[resources]\ncores = 1", "resources.cores"),
        (BASE + "[capabilities]\nfetch = 'a'", "capabilities.fetch"),
        (BASE + "[capabilities]\nstorage = 1", "capabilities.storage"),
        (BASE + "[environment]\nA = 1", "environment.A"),
        ("= broken", "heddle.toml"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, field: str) -> None:
    """Each wrong field is refused with its name."""
    with pytest.raises(ProjectInvalid) as caught:
        load_project(write(tmp_path, text))
    assert field in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A script that is not there, and a folder without heddle.toml, say so."""
    with pytest.raises(ProjectInvalid, match=r"heddle\.toml"):
        load_project(tmp_path)
    with pytest.raises(ProjectInvalid, match=r"a\.wasm"):
        load_project(write(tmp_path, BASE)).read_script()
