"""The sandbox's walls: which interpreters this machine has, and the command line that runs one of them inside.

New namespaces of everything: no network, no other processes, no file but /usr (read-only), the job's own files and,
where storage is granted, a /tmp of that size. A node that runs as root gives the sandbox to the user nobody, whom
limits bind. They are set inside: there the kernel counts the processes of this sandbox alone. `--die-with-parent` ends
it with the worker, whatever happens to that. An interpreter counts only where it lies in /usr: jobs see no homes.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from node.processor.runtimes.spec import LANGUAGES, RunSpec

NATIVE_ABI = "heddle-native-1"
SEARCHED = "/usr/bin:/usr/local/bin:/bin"
SHOWN = Path("/usr")
COMMANDS = {"native-python": "python3", "native-node": "node"}
NOBODY = 65_534
JOB_USER = 1_000
PROCESSES_MAX = 64
"""Threads too: Node.js starts with eleven."""
FILES_OPEN_MAX = 64
PYTHON_MEMORY_BESIDES = 64 << 20
"""Bytes of addresses that an idle interpreter has; its limit is this and what the job may use."""
TIMEOUT_S = 20
LINKS = (("usr/bin", "/bin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64"))
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own
    "TMPDIR": "/tmp",  # noqa: S108 - the same
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A program in /usr and its version, such as 3.11.7."""

    path: str
    version: str

    def modules(self, language: str) -> tuple[str, str]:
        """What a processor with it advertises: `python` and `python3.11`, or `node` and `node20`."""
        parts = self.version.split(".")
        return language, language + (".".join(parts[:2]) if language == "python" else parts[0])


@functools.cache
def interpreter_of(runtime: str) -> Interpreter | None:
    """The interpreter of a native runtime on this machine; None if there is none that a job could see."""
    found = shutil.which(COMMANDS[runtime], path=SEARCHED)
    if found is None or not Path(found).resolve().is_relative_to(SHOWN):
        return None
    try:
        done = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return None if version is None else Interpreter(str(Path(found).resolve()), version.group())


def native_id(runtime: str) -> str:
    """The runtime's id: language, version and machine. Results of different ones are not expected to be the same."""
    found = interpreter_of(runtime)
    version = "absent" if found is None else found.version
    return f"{runtime}-{version}/{platform.machine()}/{NATIVE_ABI}"


def native_modules(runtimes: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that an advert with these native runtimes names."""
    found = [(runtime, interpreter_of(runtime)) for runtime in runtimes]
    return tuple(name for runtime, one in found if one for name in one.modules(LANGUAGES[runtime]))


def walls(storage_bytes: int, data: dict[str, int], refused: int | None = None) -> list[str]:
    """bwrap and its options. `data`: paths inside, and descriptors of their contents; `refused`: one of the filter."""
    command = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    command += ["--clearenv", "--uid", str(JOB_USER), "--gid", str(JOB_USER), "--cap-drop", "ALL"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", str(SHOWN), str(SHOWN)]
    for target, link in LINKS:
        if Path(link).exists():
            command += ["--symlink", target, link]
    # What --dev makes is writable and without limit until it is mounted again.
    command += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--dir", "/job"]
    for path, descriptor in data.items():
        command += ["--ro-bind-data", str(descriptor), path]
    if storage_bytes:
        command += ["--size", str(storage_bytes), "--tmpfs", ENVIRONMENT["TMPDIR"]]
    if refused is not None:
        command += ["--seccomp", str(refused)]
    return [*command, "--remount-ro", "/", "--chdir", "/job", "--"]


def limited(spec: RunSpec, cpu_s: int) -> list[str]:
    """prlimit and its options. Addresses are limited for Python alone: V8 reserves far more than it uses."""
    limits = [f"--nproc={PROCESSES_MAX}", f"--nofile={FILES_OPEN_MAX}", "--core=0", f"--cpu={cpu_s}"]
    if spec.runtime == "native-python":
        limits.append(f"--as={spec.limits.memory_bytes + PYTHON_MEMORY_BESIDES}")
    return ["/usr/bin/prlimit", *limits]


def interpreter_command(spec: RunSpec, path: str, channel: int) -> list[str]:
    """The interpreter on the start-up file that the sandbox shows it."""
    if spec.runtime == "native-python":
        return [path, "-B", "-P", "-s", "/job/boot.py", str(channel)]
    return [path, f"--max-old-space-size={max(spec.limits.memory_bytes >> 20, 1)}", "/job/boot.mjs", str(channel)]


def user() -> int | None:
    """Whose the sandbox is: nobody's if the node is root's, else the node's own user's."""
    return NOBODY if os.getuid() == 0 else None


def start(command: list[str], *, pass_fds: tuple[int, ...], output: int) -> subprocess.Popen[bytes]:
    """Start a command for the sandbox, with an empty environment: that of its first process would be shown inside."""
    owner = user()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={},
        cwd="/",
        pass_fds=pass_fds,
        user=owner,
        group=owner,
        extra_groups=None if owner is None else (),
    )


def why_not(runtime: str) -> str:
    """Why the runtime cannot be offered here, or an empty text: the interpreter is started inside, once."""
    found = interpreter_of(runtime)
    if found is None:
        return f"no {COMMANDS[runtime]} in {SHOWN}"
    for program in ("bwrap", "prlimit"):
        if shutil.which(program, path=SEARCHED) is None:
            return f"no {program}: install the Debian packages bubblewrap and util-linux"
    try:
        process = start([*walls(4_096, {}), found.path, "--version"], pass_fds=(), output=subprocess.PIPE)
        told, _ = process.communicate(timeout=TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap does not start: {error}"
    return "" if process.returncode == 0 else f"bubblewrap: {told.decode(errors='replace').strip()[-200:]}"
