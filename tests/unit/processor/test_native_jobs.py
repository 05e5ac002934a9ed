"""Native jobs in bubblewrap: the same job API, every limit its typed end, and nothing of the machine within reach."""

import functools
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from node.processor.egress import EgressGuard
from node.processor.runtimes.native.bubblewrap import native_modules
from node.processor.runtimes.native.usage import tree
from node.processor.runtimes.outcome import (
    AppError,
    CapabilityDenied,
    Failure,
    Outcome,
    OutOfResources,
    Resource,
    RuntimeUnsupported,
    ScriptInvalid,
)
from node.processor.runtimes.pool import RuntimePool
from node.processor.runtimes.spec import LANGUAGES, RunSpec, SpecInvalid, native_runtime
from tests.helpers.counterparts import need_native
from tests.helpers.http_receiver import Reply, receiver
from tests.helpers.runtime_runs import make_spec, until

NATIVE = tuple(LANGUAGES)
MIB = 1 << 20


def spec_of(runtime: str, script: str, **fields: Any) -> RunSpec:
    """A native run with memory to start in; the test is not run where the runtime cannot be offered."""
    need_native(runtime)
    return make_spec(runtime, script, **{"memory_bytes": 128 * MIB, **fields})


def run(spec: RunSpec, **callbacks: Any) -> Outcome:
    """One run in a pool that offers native runtimes."""

    async def once() -> Outcome:
        async with RuntimePool(1, native=NATIVE) as pool:
            return await pool.run(spec, **callbacks)

    return trio.run(once)


def python(body: str, **fields: Any) -> Outcome:
    """The lines as the entry point of a Python script."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return run(spec_of("native-python", f"import os, signal, socket, sys\ndef main(heddle):\n{lines}\n", **fields))


def node(body: str, **fields: Any) -> Outcome:
    """The lines as the entry point of a script for Node.js."""
    script = f'import fs from "node:fs";\nexport async function main(heddle) {{\n{body}\n}}\n'
    return run(spec_of("native-node", script, **fields))


API = {
    "native-python": """
def main(heddle):
    heddle.log("one"); heddle.progress(50, "half"); heddle.checkpoint(b"state")
    return {"input": heddle.input().decode(), "job": heddle.job, "env": dict(heddle.env),
            "restored": heddle.restore().decode(), "reply": heddle.fetch(heddle.env["URL"]).text(),
            "signed": heddle.sign(b"x").hex(), "now": heddle.now()}
""",
    "native-node": """
export async function main(heddle) {
    heddle.log("one"); heddle.progress(50, "half"); heddle.checkpoint("state");
    const text = (bytes) => Buffer.from(bytes).toString();
    return {input: heddle.inputText(), job: heddle.job, env: heddle.env, restored: text(heddle.restore()),
            reply: (await heddle.fetch(heddle.env.URL)).text(), signed: Buffer.from(heddle.sign("x")).toString("hex"),
            now: heddle.now()};
}
""",
}


@pytest.mark.parametrize("runtime", NATIVE)
def test_the_job_api_is_the_same(runtime: str) -> None:
    """Input, environment, job, fetch through the guard, checkpoint, restore, progress, log and sign work natively."""
    heard: list[Any] = []

    async def sign(content: bytes) -> bytes:
        return content + b"!"

    with receiver(lambda _, __: Reply(body=b"answer")) as web:
        spec = spec_of(
            *(runtime, API[runtime]),
            input=b"given",
            environment={"URL": web.url()},
            fetch=(web.pair,),
            sign=True,
            checkpoint=b"before",
        )
        outcome = run(
            spec,
            fetch=EgressGuard([web.pair]).fetch,
            sign=sign,
            on_progress=lambda percent, note: heard.append((percent, note)),
            on_checkpoint=heard.append,
        )
        assert len(web.seen) == 1
    assert outcome.failure is None, outcome.message + outcome.logs
    assert outcome.output.decode().replace(web.url(), "URL") == (
        '{"input":"given","job":{"id":"job-1","execution":2,"slot":1,"attempt":3},"env":{"URL":"URL"},'
        '"restored":"before","reply":"answer","signed":"7821","now":1800000000001}'
    )
    assert heard == [(50, "half"), b"state"]
    assert (outcome.logs, outcome.network_used, outcome.reproducible) == ("one\n", 1, False)
    assert 0 < outcome.fuel_used < spec.limits.fuel
    assert outcome.memory_peak > MIB


LIMITS: list[tuple[str, str, dict[str, Any], Failure]] = [
    ("endless loop", "while True: pass", {"fuel": 300_000_000}, OutOfResources(Resource.COMPUTE)),
    ("sleep", "signal.pause()", {"wall_ms": 1_000}, OutOfResources(Resource.WALL)),
    ("memory bomb", "x = []\nwhile True: x.append(bytearray(1 << 20))", {}, OutOfResources(Resource.MEMORY)),
    (
        "memory of many processes",
        "for _ in range(8):\n    if not os.fork():\n        x = b'x' * (60 << 20)\n        break\nsignal.pause()",
        {},
        OutOfResources(Resource.MEMORY),
    ),
    ("fork bomb", "while True: os.fork()", {"memory_bytes": 1024 * MIB}, AppError(1)),
    (
        "disk filler",
        "with open('/tmp/x', 'wb') as f:\n    while True: f.write(bytes(65536))",
        {"storage": True},
        OutOfResources(Resource.STORAGE),
    ),
    ("key-value filler", "heddle.storage_set('a', bytes(2 << 20))", {"storage": True},
     OutOfResources(Resource.STORAGE)),
    ("print flood", "while True: print('x' * 1000)", {}, OutOfResources(Resource.OUTPUT)),
    ("output flood", "while True: heddle.output(bytes(60000))", {}, OutOfResources(Resource.OUTPUT)),
    ("long message", "socket.socket(fileno=int(sys.argv[1])).send(b'\\xff' * 4)", {},
     OutOfResources(Resource.OUTPUT)),
    ("deep recursion", "def deeper(): deeper()\ndeeper()", {}, OutOfResources(Resource.STACK)),
    ("too many requests", "[heddle.fetch('http://a.example/') for _ in range(4)]", {"fetch": ("a.example",)},
     OutOfResources(Resource.NETWORK)),
    ("request without a grant", "heddle.fetch('http://a.example/')", {}, CapabilityDenied("fetch")),
    ("storage without a grant", "heddle.storage_set('a', b'b')", {}, CapabilityDenied("storage")),
    ("its own failure", "heddle.fail(7, 'no')", {}, AppError(7)),
    ("its own exit", "sys.exit(9)", {}, AppError(9)),
    ("a signal to itself", "os.kill(os.getpid(), 11)", {}, AppError(128 + 11)),
]  # fmt: skip


async def empty_reply(_request: Any) -> Any:
    """A web that answers nothing."""
    from node.processor.runtimes.spec import FetchReply

    return FetchReply(200, (), b"")


@pytest.mark.parametrize(("name", "body", "fields", "failure"), LIMITS, ids=[case[0] for case in LIMITS])
def test_every_limit_has_its_end(name: str, body: str, fields: dict[str, Any], failure: Failure) -> None:
    """What a script does without measure ends in the class of the limit that it passed, and leaves no process."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    spec = spec_of("native-python", f"import os, signal, socket, sys\ndef main(heddle):\n{lines}\n", **fields)

    async def once() -> tuple[Outcome, list[int]]:
        async with RuntimePool(1, native=NATIVE) as pool:
            outcome = await pool.run(spec, empty_reply)
            # Of a worker that goes on the sandbox was the only child; one that was killed took it along.
            return outcome, [one for pid in pool.worker_pids for one in tree(pid) if one != pid]

    outcome, left = trio.run(once)
    assert (outcome.failure, left) == (failure, []), outcome.message + outcome.logs
    assert outcome.output == b""
    assert not outcome.reproducible


NODE_LIMITS: list[tuple[str, dict[str, Any], Failure]] = [
    ("for (;;);", {"fuel": 300_000_000}, OutOfResources(Resource.COMPUTE)),
    ("const x = []; for (;;) x.push(new Array(1e5).fill(1.5));", {}, OutOfResources(Resource.MEMORY)),
    ('for (;;) fs.appendFileSync("/tmp/x", "x".repeat(65536));', {"storage": True}, OutOfResources(Resource.STORAGE)),
    ("for (;;) heddle.log('x'.repeat(1000));", {}, OutOfResources(Resource.OUTPUT)),
    ("const deeper = () => deeper() + 1; deeper();", {}, OutOfResources(Resource.STACK)),
    ('await heddle.fetch("http://a.example/");', {}, CapabilityDenied("fetch")),
    ('throw new Error("no");', {}, AppError(1)),
    ("heddle.fail(7);", {}, AppError(7)),
    ("await new Promise(() => {});", {}, AppError(13)),
]


@pytest.mark.parametrize(("body", "fields", "failure"), NODE_LIMITS)
def test_every_limit_holds_for_node(body: str, fields: dict[str, Any], failure: Failure) -> None:
    """The same in Node.js."""
    outcome = node(body, **fields)
    assert outcome.failure == failure, outcome.message + outcome.logs


@pytest.mark.parametrize(
    ("runtime", "script"),
    [
        ("native-python", "def main(heddle:"),
        ("native-python", "def other(heddle): pass"),
        ("native-node", "export function main( {"),
        ("native-node", "export function other() {}"),
    ],
)
def test_a_script_that_is_none_is_invalid(runtime: str, script: str) -> None:
    """What does not parse, or has no entry point, is ScriptInvalid."""
    assert run(spec_of(runtime, script)).failure == ScriptInvalid()


REACH = """
found = {}
def attempt(name, what):
    try: found[name] = str(what())
    except Exception as error: found[name] = type(error).__name__
libc = __import__("ctypes").CDLL(None, use_errno=True)
for path in ("/etc/shadow", "/etc/passwd", "/root", "/home", "/srv", "/var", "/sys", "/run"):
    attempt(path, lambda: os.listdir(path) if not path.startswith("/etc") else open(path).read())
attempt("write /usr", lambda: open("/usr/bin/x", "w"))
attempt("write /dev", lambda: open("/dev/shm/x", "w"))
attempt("write /tmp", lambda: open("/tmp/x", "w"))
attempt("write /job", lambda: open("/job/x", "w"))
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", PORT), 2))
attempt("name", lambda: socket.getaddrinfo("example.org", 80))
attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + "NAME"))
attempt("kill", lambda: os.kill(WORKER, 9))
attempt("mount", lambda: libc.mount(b"none", b"/job", b"tmpfs", 0, None))
attempt("user namespace", lambda: libc.unshare(0x10000000))
attempt("ptrace", lambda: libc.ptrace(16, 1, 0, 0))
attempt("keyring", lambda: libc.syscall(250 if os.uname().machine == "x86_64" else 219, 0, -3, 1))
attempt("setuid", lambda: os.setuid(0))
found["processes"] = str(max(int(name) for name in os.listdir("/proc") if name.isdecimal()) < 100)
found["first environment"] = open("/proc/1/environ").read() if os.access("/proc/1/environ", os.R_OK) else ""
found["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")][0]
return found
"""


def test_nothing_of_the_machine_is_within_reach() -> None:
    """No file outside /usr, no network, no process, no mount, no new namespace, no capability, no environment."""
    name = f"heddle-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen()
        body = REACH.replace("PORT", str(server.getsockname()[1])).replace("NAME", name)
        outcome = python(body.replace("WORKER", str(os.getpid())))
    assert outcome.failure is None, outcome.message + outcome.logs
    import json

    found = json.loads(outcome.output)
    assert {found[path] for path in found if path.startswith("/")} == {"FileNotFoundError"}
    read_only = {name: found[name] for name in ("write /usr", "write /dev", "write /tmp", "write /job")}
    assert set(read_only.values()) <= {"OSError", "FileNotFoundError"}, read_only
    assert found["tcp"] in ("OSError", "ConnectionRefusedError")
    assert (found["name"], found["abstract"]) == ("gaierror", "ConnectionRefusedError")
    assert found["kill"] == "ProcessLookupError"
    assert [found[name] for name in ("mount", "user namespace", "ptrace", "keyring")] == ["-1"] * 4
    assert found["setuid"] in ("PermissionError", "OSError")
    assert (found["processes"], found["first environment"]) == ("True", "")
    assert int(found["capabilities"], 16) == 0


def test_a_cancelled_run_takes_its_sandbox_along() -> None:
    """When the node no longer waits for a run, worker and sandbox are gone."""
    seen: list[int] = []

    async def cancelled() -> None:
        async with RuntimePool(1, native=NATIVE) as pool:
            with trio.move_on_after(30) as scope:

                def begun(_percent: int, _note: str) -> None:
                    seen.extend(one for pid in pool.worker_pids for one in tree(pid))
                    scope.cancel()

                script = "import signal\ndef main(heddle):\n    heddle.progress(1)\n    signal.pause()\n"
                await pool.run(spec_of("native-python", script), on_progress=begun)
        await until(lambda: not [pid for pid in seen if Path(f"/proc/{pid}").exists()])

    trio.run(cancelled)
    assert len(seen) >= 3


def test_a_worker_goes_on_after_a_hostile_run() -> None:
    """Two runs that were stopped and one that is good, in one worker."""
    scripts = [f"def main(heddle):\n    {line}\n" for line in ("while True: pass", "return 1 / 0", "return 'good'")]

    async def three() -> tuple[list[Outcome], int]:
        async with RuntimePool(1, native=NATIVE) as pool:
            found = [await pool.run(spec_of("native-python", script, fuel=200_000_000)) for script in scripts]
            return found, len(pool.worker_pids)

    found, workers = trio.run(three)
    assert [one.failure for one in found] == [OutOfResources(Resource.COMPUTE), AppError(1), None]
    assert (found[2].output, workers) == (b"good", 1)


def test_what_is_not_offered_is_not_run() -> None:
    """A pool whose operator offers nothing native does not run it, and memory in which nothing starts is refused."""
    spec = spec_of("native-python", "def main(heddle): pass")

    async def once() -> Outcome:
        async with RuntimePool(1) as pool:
            return await pool.run(spec)

    assert trio.run(once).failure == RuntimeUnsupported()
    with pytest.raises(SpecInvalid, match="memory_bytes"):
        trio.run(functools.partial(_run_with, spec_of("native-python", "", memory_bytes=MIB)))


async def _run_with(spec: RunSpec) -> None:
    async with RuntimePool(1, native=NATIVE) as pool:
        await pool.run(spec)


@pytest.mark.parametrize(
    ("modules", "runtime"),
    [
        (("python",), "native-python"),
        (("gdal", "python3.11"), "native-python"),
        (("node20",), "native-node"),
        (("python", "python3.11"), "native-python"),
        (("python", "node"), None),
        (("pythonic",), None),
        ((), None),
    ],
)
def test_the_modules_say_which_language(modules: tuple[str, ...], runtime: str | None) -> None:
    """One language among the required modules is the job's; none or two are no native job."""
    assert native_runtime(modules) == runtime


def test_an_advert_names_versions() -> None:
    """A processor with both interpreters advertises each language with and without its version."""
    for runtime in NATIVE:
        need_native(runtime)
    modules = native_modules(NATIVE)
    assert len(modules) == 4
    assert (modules[0], modules[2]) == ("python", "node")
    assert modules[1].startswith("python3.")
    assert [native_runtime((module,)) for module in modules] == [NATIVE[0], NATIVE[0], NATIVE[1], NATIVE[1]]
