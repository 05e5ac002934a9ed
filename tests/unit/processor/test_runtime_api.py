"""The job API, the same from JavaScript, Python and WebAssembly."""

import json

from node.processor.runtimes.outcome import AppError, CapabilityDenied, OutOfResources, Resource, ScriptInvalid
from node.processor.runtimes.spec import FetchFailed, FetchReply, FetchRequest
from node.processor.runtimes.tape import TapeEntry, decode_tape
from tests.helpers.runtime_runs import NOW_MS, make_spec, outcomes

JAVASCRIPT = """
export async function main(heddle) {
  heddle.progress(50, "half");
  heddle.log("logged", 1);
  heddle.storage.set("key", "value");
  heddle.checkpoint("mark");
  const reply = await heddle.fetch("http://example.test/a", {method: "POST", headers: {"X-One": "1"}, body: "ask"});
  return {
    input: heddle.inputText(), env: heddle.env, job: heddle.job, value: heddle.storage.getText("key"),
    absent: heddle.storage.get("none"), restored: new TextDecoder().decode(heddle.restore()),
    status: reply.status, header: reply.headers["x-two"], body: reply.text(),
    signature: heddle.sign("text").length, random: heddle.random(4).length, time: heddle.now() - 1800000000000 < 100,
  };
}
"""
PYTHON = """
import heddle as module
def main(heddle):
    assert heddle is module
    heddle.progress(50, "half")
    heddle.log("logged 1")
    heddle.storage_set("key", "value")
    heddle.checkpoint(b"mark")
    reply = heddle.fetch("http://example.test/a", "POST", {"X-One": "1"}, "ask")
    return {
        "input": heddle.input().decode(), "env": heddle.env, "job": heddle.job,
        "value": heddle.storage_get("key").decode(), "absent": heddle.storage_get("none"),
        "restored": heddle.restore().decode(), "status": reply.status, "header": reply.headers["x-two"],
        "body": reply.text(), "signature": len(heddle.sign("text")), "random": len(heddle.random(4)),
        "time": heddle.now() - 1800000000000 < 100,
    }
"""
EXPECTED = {
    "input": "in",
    "env": {"NAME": "välue\n2"},
    "job": {"id": "job-1", "execution": 2, "slot": 1, "attempt": 3},
    "value": "value",
    "absent": None,
    "restored": "earlier",
    "status": 201,
    "header": "2",
    "body": "reply",
    "signature": 64,
    "random": 4,
    "time": True,
}
REQUEST = b"POST http://example.test/a\nX-One: 1\n\nask"
REPLY = b"201\nx-two: 2\n\nreply"


def test_every_call_in_javascript_and_python() -> None:
    """Each call gives JavaScript and Python the same values, and the tape holds what came from outside."""
    seen: list[object] = []

    async def fetch(request: FetchRequest) -> FetchReply:
        seen.append(request)
        return FetchReply(201, (("x-two", "2"),), b"reply")

    async def sign(content: bytes) -> bytes:
        return content.ljust(64, b".")

    fields = {
        "input": b"in",
        "environment": {"NAME": "välue\n2"},
        "fetch": ("example.test",),
        "storage": True,
        "sign": True,
        "checkpoint": b"earlier",
    }
    progress: list[tuple[int, str]] = []
    checkpoints: list[bytes] = []
    found = outcomes(
        make_spec("javascript", JAVASCRIPT, **fields),
        make_spec("python", PYTHON, **fields),
        fetch=fetch,
        sign=sign,
        on_progress=lambda percent, note: progress.append((percent, note)),
        on_checkpoint=checkpoints.append,
    )
    for outcome in found:
        assert outcome.failure is None, outcome.message + outcome.logs
        assert json.loads(outcome.output) == EXPECTED
        assert outcome.network_used == 1
        assert outcome.logs == "logged 1\n"
        signed = TapeEntry("sign", b"text", ok=True, reply=b"text".ljust(64, b"."))
        assert decode_tape(outcome.tape) == [TapeEntry("fetch", REQUEST, ok=True, reply=REPLY), signed]
    assert seen == [FetchRequest("POST", "http://example.test/a", (("x-one", "1"),), b"ask", ("example.test",))] * 2
    assert progress == [(50, "half")] * 2
    assert checkpoints == [b"mark"] * 2


def test_what_an_entry_point_returns_is_the_result() -> None:
    """Bytes and text are handed out as they are, nothing as nothing, anything else as compact JSON."""
    found = outcomes(
        make_spec("javascript", "export default () => new Uint8Array([0, 255])"),
        make_spec("javascript", "export function go() { return 'ö' }", entrypoint="go"),
        make_spec("javascript", "export function main() {}"),
        make_spec("javascript", "export const main = async (h) => { h.output('a'); return [1, {b: null}] }"),
        make_spec("python", "def main(h): return bytes([0, 255])"),
        make_spec("python", "def go(h): return 'ö'", entrypoint="go"),
        make_spec("python", "def main(h): h.output('a'); return [1, {'b': None}]"),
    )
    assert [o.output for o in found] == [
        b"\0\xff",
        "ö".encode(),
        b"",
        b'a[1,{"b":null}]',
        b"\0\xff",
        "ö".encode(),
        b'a[1,{"b":null}]',
    ]


def test_ungranted_calls_end_the_run() -> None:
    """A call without its grant ends the run as CapabilityDenied(name), even where the script would catch errors."""
    scripts = [
        ("javascript", "export async function main(h) { try { await h.fetch('http://x.test/') } catch { return 1 } }"),
        ("javascript", "export function main(h) { try { h.storage.set('a', 'b') } catch { return 1 } }"),
        ("javascript", "export function main(h) { try { h.sign('a') } catch { return 1 } }"),
        ("python", "def main(h):\n try: open('/tmp/x', 'w')\n except BaseException: return 1"),
        ("python", "def main(h):\n try: h.storage_get('x')\n except BaseException: return 1"),
    ]
    found = outcomes(*(make_spec(runtime, script) for runtime, script in scripts))
    names = ["fetch", "storage", "sign", "storage", "storage"]
    assert [outcome.failure for outcome in found] == [CapabilityDenied(name) for name in names]
    assert all(outcome.output == b"" for outcome in found)


def test_a_failed_request_is_the_scripts_to_handle() -> None:
    """A request without an answer is an error that the script may catch; the tape keeps it."""

    async def fetch(request: FetchRequest) -> FetchReply:
        raise FetchFailed("no route")

    script = "export async function main(h) { try { await h.fetch('http://a.test/') } catch (e) { return e.message } }"
    python = "def main(h):\n try: h.fetch('http://a.test/')\n except h.HostError as e: return str(e)"
    for outcome in outcomes(
        make_spec("javascript", script, fetch=("a.test",)), make_spec("python", python, fetch=("a.test",)), fetch=fetch
    ):
        assert outcome.output == b"no route"
        assert decode_tape(outcome.tape) == [TapeEntry("fetch", b"GET http://a.test/\n\n", ok=False, reply=b"no route")]


def test_a_script_names_its_own_failure() -> None:
    """`fail`, an exit code and an uncaught error are AppError with their codes; the message says what happened."""
    found = outcomes(
        make_spec("javascript", "export function main(h) { h.fail(7, 'seven') }"),
        make_spec("javascript", "export function main() { throw new TypeError('bad') }"),
        make_spec("javascript", "export function main() { Promise.reject(new Error('lost')) }"),
        make_spec("javascript", "export function main() { return new Promise(() => {}) }"),
        make_spec("python", "def main(h): h.fail(7, 'seven')"),
        make_spec("python", "import sys\ndef main(h): sys.exit(9)"),
        make_spec("python", "def main(h): return 1 // 0"),
        make_spec("wasm", '(module (memory (export "memory") 1) (func (export "_start") unreachable))'),
        make_spec(
            "wasm",
            '(module (memory (export "memory") 1) (func (export "go") (result i32) i32.const 5))',
            entrypoint="go",
        ),
    )
    codes = [7, 1, 1, 1, 7, 9, 1, 256 + 9, 5]
    assert [outcome.failure for outcome in found] == [AppError(code) for code in codes]
    assert found[0].message == "seven"
    assert found[1].message == "TypeError: bad"
    assert "ZeroDivisionError" in found[6].logs


def test_invalid_scripts() -> None:
    """What does not parse, validate, link or export its entry point is ScriptInvalid before it runs."""
    memory = '(memory (export "memory") 1)'
    scripts: list[tuple[str, str | bytes]] = [
        ("javascript", "export function main( {"),
        ("javascript", "export function other() {}"),
        ("javascript", "import fs from 'fs'; export function main() {}"),
        ("python", "def main(:"),
        ("python", "def other(h): pass"),
        ("wasm", b"\0asm\1\0\0\0\xff"),
        ("wasm", b"\xff\xfe no text"),
        ("wasm", f'(module {memory} (func (export "other")))'),
        ("wasm", f'(module {memory} (func (export "_start") (param i32)))'),
        ("wasm", '(module (func (export "_start")))'),
        ("wasm", f'(module (import "env" "f" (func)) {memory} (func (export "_start")))'),
        ("wasm", '(module (memory (export "memory") 1 1 shared) (func (export "_start")))'),
        ("wasm", f'(module {memory} (memory 1) (func (export "_start")))'),
    ]
    found = outcomes(*(make_spec(runtime, script) for runtime, script in scripts))
    assert [outcome.failure for outcome in found] == [ScriptInvalid()] * len(scripts)


def test_numbers_out_of_the_memory_do_not_harm() -> None:
    """A host call with pointers past the memory's end, or with bits that a signed number would hide, is typed."""

    def module(arguments: str) -> str:
        return (
            '(module (import "heddle" "request" (func $r (param i32 i32 i32 i32) (result i32)))'
            '(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))'
            '(memory (export "memory") 1) (data (i32.const 0) "output")'
            f'(func (export "_start") (result i32) {arguments}))'
        )

    call = "(call $r (i32.const 0) (i32.const 6) (i32.const {}) (i32.const {}))"
    found = outcomes(
        make_spec("wasm", module(call.format(65_530, 7))),
        make_spec("wasm", module(call.format(-1, 4))),
        make_spec("wasm", module(call.format(0, -1))),
        make_spec("wasm", module("(call $random (i32.const -8) (i32.const 16))")),
    )
    assert [outcome.failure for outcome in found] == [AppError(257), AppError(257), AppError(257), AppError(21)]


def test_memory_that_a_module_starts_with_counts() -> None:
    """A module whose first memory is over the limit ends as OutOfResources(memory), before it runs."""
    script = '(module (memory (export "memory") 2000) (func (export "_start")))'
    assert [o.failure for o in outcomes(make_spec("wasm", script))] == [OutOfResources(Resource.MEMORY)]


def test_the_clock_and_chance_are_the_jobs_own() -> None:
    """Time starts at the job's and passes by looking and sleeping alone; random numbers follow from the seed."""
    script = """
import random, time as clock, heddle
def main(h):
    start = clock.time()
    clock.sleep(3600)
    return [start, clock.time() - start >= 3600, random.random(), h.random(2).hex()]
"""
    first, again, other = outcomes(
        make_spec("python", script), make_spec("python", script), make_spec("python", script, seed=bytes(32))
    )
    start, slept, number, _ = json.loads(first.output)
    assert NOW_MS <= start * 1000 < NOW_MS + 100
    assert slept
    assert first == again
    assert json.loads(other.output)[2] != number
