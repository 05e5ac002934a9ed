"""Templates of `heddle job init`: each is a job that the chain allows, and runs rightly in the real sandbox."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from cli.errors import Refused
from cli.job_spec import check_draft, read_job
from cli.job_template import TEMPLATES, template_of, templates, write_template
from node.processor.egress import EgressGuard
from node.processor.executor import Executor, Work
from node.processor.runtimes.outcome import AppError, Outcome
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.spec import LANGUAGES
from pallets.jobs.destinations import Webhook
from pallets.jobs.schedule import executions_of
from pallets.jobs.types import JobSpec, Quorum, RuntimeKind
from tests.helpers.counterparts import need_native
from tests.helpers.heddle_command import Heddle as User
from tests.helpers.http_receiver import Reply, receiver

NOW_MS = 1_800_000_000_000
NAMES = [template.name for template in templates()]
RIGHT_SHARE_MIN = 0.95
WEIGHTS_BYTES_MAX = 200_000
WORDS = {"words": 14, "distinct": 11, "longest": "quick"}
RESULTS = {
    "one-shot": WORDS,
    "one-shot-javascript": WORDS,
    "wasm-module": {"words": 14},
    "data-pipeline": {
        "accepted": 10,
        "rejected": 3,
        "totals": {
            "east": {"2026-02": "155.00", "2026-03": "63.75"},
            "north": {"2026-01": "337.40", "2026-03": "448.50"},
            "south": {"2026-01": "96.00", "2026-02": "102.00", "2026-03": "151.25"},
            "west": {"2026-02": "137.25", "2026-03": "91.00"},
        },
    },
    "webhook-bridge": {"type": "order.priced", "data": {"order": 1047, "lines": 2, "cents": 18_790}},
}


def made(folder: Path, name: str, **settings: str) -> Path:
    """A new job from a template."""
    write_template(folder, template_of(name, None), settings)
    return folder


def runs(folder: Path, *executions: int, allowed: tuple[str, ...] = (), data: bytes | None = None) -> list[Outcome]:
    """Executions of the job, as a processor runs them. `data` goes before the folder's input."""
    draft = read_job(folder)
    spec = check_draft(folder, draft, NOW_MS)
    given = data if data is not None else b"" if draft.input is None else draft.input.data

    async def run() -> list[Outcome]:
        async with RuntimePool(1, native=tuple(LANGUAGES)) as pool:
            return [
                await pool.run(Executor.run_spec(work(spec, one), draft.script.data, given), EgressGuard(allowed).fetch)
                for one in executions
            ]

    return trio.run(run)


def work(spec: JobSpec, execution: int) -> Work:
    """An execution's first attempt."""
    return Work(bytes(32), bytes(32), spec, execution, 0, 1, NOW_MS)


def result(outcome: Outcome) -> Any:
    """The result of a run that succeeded."""
    assert outcome.failure is None, outcome.message + outcome.logs
    return json.loads(outcome.output)


def test_there_are_at_least_eight() -> None:
    """The templates that the README promises are there, each with a summary of one line."""
    assert len(NAMES) >= 10
    assert {"one-shot", "price-oracle", "data-pipeline", "map", "webhook-bridge", "digits-inference"} < set(NAMES)
    assert {"wasm-module", "verified-quorum"} < set(NAMES)
    assert all(template.summary and "\n" not in template.summary for template in templates())


@pytest.mark.parametrize("name", NAMES)
def test_every_template_is_a_job_that_the_chain_allows(name: str, tmp_path: Path) -> None:
    """What is copied passes the chain's rules as it is, and no placeholder is left in it."""
    folder = made(tmp_path / "my-job", name)
    draft = read_job(folder)
    check_draft(folder, draft, NOW_MS)
    assert draft.project.name == "my-job"
    assert not [path for path in folder.iterdir() if "{{" in path.read_text()]
    assert not (folder / "template.toml").exists()


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_a_template_runs_as_it_is(name: str, tmp_path: Path) -> None:
    """The job of the template gives the right result in the sandbox."""
    assert result(runs(made(tmp_path / "job", name), 0)[0]) == RESULTS[name]


def test_the_oracle_asks_its_host_at_each_interval(tmp_path: Path) -> None:
    """Each execution gives the price that the host had then; no answer and no price are its own errors."""
    prices: list[object] = ["61250.10", 61251, "cheap"]
    with receiver(lambda _, count: Reply(body=json.dumps({"last": prices[count]}).encode())) as source:
        settings = {"host": source.pair, "address": source.url("/price"), "path": "last"}
        folder = made(tmp_path / "job", "price-oracle", **settings)
        assert executions_of(check_draft(folder, read_job(folder), NOW_MS).schedule) == 3
        first, second, third = runs(folder, 0, 1, 2, allowed=(source.pair,))
    assert [result(first)["price"], result(second)["price"], third.failure] == ["61250.10", "61251", AppError(3)]
    assert runs(folder, 0, allowed=(source.pair,))[0].failure == AppError(2)


def test_the_map_runs_over_every_input(tmp_path: Path) -> None:
    """There is an execution for each file, in the order of their names; each gives the result of its own file."""
    folder = made(tmp_path / "job", "map")
    parts = read_job(folder).parts
    texts = [path.read_text() for path in sorted(folder.glob("item-*.txt"))]
    assert [part.data.decode() for part in parts] == texts
    assert executions_of(check_draft(folder, read_job(folder), NOW_MS).schedule) == len(texts) == 4
    found = [result(runs(folder, number, data=part.data)[0]) for number, part in enumerate(parts)]
    assert [(one["part"], one["words"]) for one in found] == [(n, len(text.split())) for n, text in enumerate(texts)]


def test_the_pipeline_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """A run that gets the checkpoint of the second stage gives the result of the whole, without reading the input."""
    folder = made(tmp_path / "job", "data-pipeline")
    draft = read_job(folder)
    spec = check_draft(folder, draft, NOW_MS)
    assert draft.input is not None
    data, saved = draft.input.data, list[bytes]()

    async def run() -> tuple[Outcome, Outcome]:
        async with RuntimePool(1) as pool:
            run_spec = Executor.run_spec(work(spec, 0), draft.script.data, data)
            whole = await pool.run(run_spec, on_checkpoint=saved.append)
            resumed = Work(bytes(32), bytes(32), spec, 0, 0, 2, NOW_MS, checkpoint=saved[1])
            return whole, await pool.run(Executor.run_spec(resumed, draft.script.data, b""))

    whole, resumed = trio.run(run)
    assert len(saved) == 3
    assert result(resumed) == result(whole) == RESULTS["data-pipeline"]


def test_the_bridge_sends_to_its_receiver(tmp_path: Path) -> None:
    """The receiver of the settings is the job's second destination."""
    folder = made(tmp_path / "job", "webhook-bridge", receiver="https://orders.example/in")
    spec = check_draft(folder, read_job(folder), NOW_MS)
    assert spec.destinations[1:] == (Webhook("https://orders.example/in"),)


def test_the_quorum_agrees_on_the_same_bytes(tmp_path: Path) -> None:
    """The job asks for two of three; slot and attempt make no difference to what a replica finds."""
    folder = made(tmp_path / "job", "verified-quorum")
    draft = read_job(folder)
    spec = check_draft(folder, draft, NOW_MS)
    assert (spec.slots, spec.verification) == (3, Quorum(2))
    assert draft.input is not None
    data = draft.input.data

    async def run() -> list[Outcome]:
        async with RuntimePool(1) as pool:
            works = [Work(bytes(32), bytes(32), spec, 0, slot, slot + 1, NOW_MS) for slot in range(2)]
            return [await pool.run(Executor.run_spec(one, draft.script.data, data)) for one in works]

    one, other = trio.run(run)
    assert one == other
    assert (result(one)["primes"], result(one)["largest"]) == (2_262, 19_997)


def test_the_native_template_finds_a_tour(tmp_path: Path) -> None:
    """The job asks for a native processor with Python; every town is on the tour once, which got shorter."""
    need_native("native-python")
    folder = made(tmp_path / "job", "native-python")
    spec = check_draft(folder, read_job(folder), NOW_MS)
    assert (spec.runtime, spec.requirements.modules) == (RuntimeKind.NATIVE, ("python",))
    found = result(runs(folder, 0)[0])
    assert sorted(found["tour"]) == list(range(60))
    assert found["length"] < found["first"]


def test_digits_that_it_has_not_seen_are_read(tmp_path: Path) -> None:
    """Of the held-out images at least 95 in a hundred are read right, by weights that are far below 200 kB."""
    folder = made(tmp_path / "job", "digits-inference")
    labels = (folder / "labels.txt").read_text().strip()
    found = result(runs(folder, 0)[0])["digits"]
    assert len(found) == len(labels) == 450
    right = sum(one == other for one, other in zip(found, labels, strict=True))
    assert right / len(labels) >= RIGHT_SHARE_MIN
    assert len(read_job(folder).script.data) < WEIGHTS_BYTES_MAX
    assert sorted(set(found)) == list("0123456789")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"0" * 63 + b"\n", 2),
        (b"0" * 65 + b"\n", 2),
        (b"0" * 64, 2),
        (b"h" + b"0" * 63 + b"\n", 2),
        (b":" + b"0" * 63 + b"\n", 2),
        (b"0" * 100_001, 3),
    ],
)
def test_what_is_no_image_is_named(data: bytes, code: int, tmp_path: Path) -> None:
    """A line of another length or with other characters, and too many of them, end in the classifier's own errors."""
    folder = made(tmp_path / "job", "digits-inference")
    outcome = runs(folder, 0, data=data)[0]
    assert outcome.failure == AppError(code)
    assert outcome.message.startswith(("a line is not 64 characters", "the input is longer than 100000 bytes"))


def test_no_image_at_all_is_no_digit(tmp_path: Path) -> None:
    """An empty input gives an empty answer."""
    assert result(runs(made(tmp_path / "job", "digits-inference"), 0, data=b"")[0])["digits"] == ""


@pytest.mark.parametrize(
    ("name", "settings", "word"),
    [
        ("price-oracle", {"colour": "red"}, "colour"),
        ("one-shot", {"host": "a.example"}, "host"),
        ("price-oracle", {"host": 'a"b'}, "host"),
        ("price-oracle", {"host": "a\nb"}, "host"),
        ("price-oracle", {"path": "{{host}}"}, "path"),
        ("price-oracle", {"address": "a" * 257}, "address"),
        ("no-such-template", {}, "no-such-template"),
    ],
)
def test_a_wrong_setting_is_refused(name: str, settings: dict[str, str], word: str, tmp_path: Path) -> None:
    """A setting that the template has not, or that does not fit between quotes, is named; nothing is written."""
    with pytest.raises(Refused, match=word):
        made(tmp_path / "job", name, **settings)
    assert not (tmp_path / "job").exists()


def test_the_command_lists_and_sets(tmp_path: Path) -> None:
    """--list-templates names every template and its settings; --set reaches the files; what contradicts is refused."""
    user = User(tmp_path / "home")
    listed = user.json("job", "init", "--list-templates")["templates"]
    assert [one["name"] for one in listed] == NAMES
    folder = str(tmp_path / "job")
    assert user.error("job", "init", folder, "--template", "map", "--runtime", "python")[0] == 4
    assert user.error("job", "init", folder, "--template", "price-oracle", "--set", "executions")[0] == 4
    written = user.json("job", "init", folder, "--template", "price-oracle", "--set", "executions=2")
    assert written["files"] == ["heddle.toml", "main.js", "source.json"]
    assert "executions = 2\n" in (tmp_path / "job" / "heddle.toml").read_text()


def test_templates_are_packaged() -> None:
    """Every kind of file that a template has is one that the package carries."""
    carried = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text()
    kinds = {path.suffix for path in TEMPLATES.glob("*/*") if path.is_file()} - {".py"}
    assert [kind for kind in kinds if f'"*{kind}"' not in carried] == []
