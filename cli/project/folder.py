"""A job's folder: `heddle.toml` and the script, read and checked (the fields: examples/jobs/README.md)."""

from __future__ import annotations

import importlib.util
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.project.environment import EnvironmentInvalid, ProjectEnvironment, read_environment
from cli.project.life import FIELDS as LIFE_FIELDS
from cli.project.life import TOP as LIFE_TOP
from cli.project.life import Life, LifeInvalid, read_life
from cli.project.terms import FIELDS as TERMS_FIELDS
from cli.project.terms import Terms, TermsInvalid, read_terms
from node.processor.runtimes.grants import is_grant
from node.processor.runtimes.spec import LANGUAGES, RUNTIME_NAMES, Capabilities, Limits

FILE_NAME = "heddle.toml"
SLOTS_MAX = 64
DECIMALS = 12
HDL = 1_000_000_000_000
DURATION_MS_MAX = 24 * 3600 * 1000
PACKAGE_PREFIX = "pypi:"

_TOP = {"name", "description", "runtime", "script", "entrypoint", "input", "slots", "reward", "duration_ms"}
_TERMS = {"destinations", *TERMS_FIELDS, *LIFE_FIELDS, *LIFE_TOP}
_RESOURCES = {"fuel", "memory_bytes", "storage_bytes", "network_requests", "output_bytes"}
_CAPABILITIES = {"fetch", "storage", "sign"}


class ProjectInvalid(ValueError):
    """The folder is no job; the message names the field and what it may be."""


@dataclass(frozen=True, slots=True)
class Project:
    """A job as its author wrote it. `reward` is in the smallest unit, 10^-12 HDL, per slot and execution."""

    folder: Path
    name: str
    description: str
    runtime: str
    script: Path
    entrypoint: str
    input: Path | None
    slots: int
    reward: int
    duration_ms: int
    limits: Limits
    capabilities: Capabilities
    environment: ProjectEnvironment
    terms: Terms
    life: Life

    def read_script(self) -> bytes:
        """The script's bytes; ProjectInvalid where the file is missing."""
        return _read(self.script, "script", "(a built one needs `make setup`)")

    def read_input(self) -> bytes:
        """The input's bytes, empty where there is none."""
        return b"" if self.input is None else _read(self.input, "input", "")


def _read(path: Path, field: str, hint: str) -> bytes:
    if path.exists() and not path.is_file():
        raise ProjectInvalid(f"{field}: {path} is not a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProjectInvalid(f"{field}: cannot read {path} {hint}".rstrip()) from error


def load_project(folder: Path) -> Project:
    """The job in `folder`; ProjectInvalid names the first field that is wrong."""
    path = folder / FILE_NAME
    try:
        raw = tomllib.loads(_read(path, FILE_NAME, "").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectInvalid(f"{path}: {error}") from error
    tables = {"resources", "capabilities", "environment", "secrets"}
    _known("", raw, _TOP | tables | _TERMS)
    resources, granted, environment = (_table(raw, name) for name in ("resources", "capabilities", "environment"))
    _known("resources.", resources, _RESOURCES)
    _known("capabilities.", granted, _CAPABILITIES)
    runtime = _text(raw, "runtime")
    if runtime not in (*RUNTIME_NAMES, *LANGUAGES):
        raise ProjectInvalid(f"runtime is {runtime!r}, allowed are {', '.join((*RUNTIME_NAMES, *LANGUAGES))}")
    duration_ms = _whole(raw, "duration_ms", 60_000, 1, DURATION_MS_MAX)
    return Project(
        folder=folder,
        name=_text(raw, "name", folder.resolve().name),
        description=_text(raw, "description", ""),
        runtime=runtime,
        script=_inside(folder, _text(raw, "script"), "script"),
        entrypoint=_text(raw, "entrypoint", ""),
        input=_input_path(folder, _text(raw, "input", "")),
        slots=_whole(raw, "slots", 1, 1, SLOTS_MAX),
        reward=_amount(raw.get("reward", "0")),
        duration_ms=duration_ms,
        limits=_limits(resources, duration_ms),
        capabilities=_capabilities(granted),
        environment=_environment(environment, _table(raw, "secrets"), folder),
        terms=_terms(raw, duration_ms),
        life=_life(raw, folder, runtime),
    )


def _life(raw: dict[str, Any], folder: Path, runtime: str) -> Life:
    try:
        life = read_life(raw, folder, runtime)
    except LifeInvalid as error:
        raise ProjectInvalid(str(error)) from error
    if life.fallback_runtime not in (*RUNTIME_NAMES, runtime):
        allowed = ", ".join(RUNTIME_NAMES)
        raise ProjectInvalid(f"fallback.runtime is {life.fallback_runtime!r}, allowed are {allowed}")
    return life


def _terms(raw: dict[str, Any], duration_ms: int) -> Terms:
    try:
        return read_terms(raw, duration_ms)
    except TermsInvalid as error:
        raise ProjectInvalid(str(error)) from error


def _known(prefix: str, table: dict[str, Any], names: set[str]) -> None:
    for name in table:
        if name not in names:
            raise ProjectInvalid(f"unknown field {prefix}{name}")


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict):
        raise ProjectInvalid(f"{name} must be a table")
    return table


def _text(raw: dict[str, Any], name: str, default: str | None = None) -> str:
    value = raw.get(name, default)
    if not isinstance(value, str):
        raise ProjectInvalid(f"{name} must be a text" if name in raw else f"{name} is missing")
    return value


def _whole(raw: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = raw.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProjectInvalid(f"{name} is {value!r}, allowed is {low}..{high}")
    return value


def _amount(value: object) -> int:
    whole, _, part = value.partition(".") if isinstance(value, str) else ("", "", "")
    if not (whole + part).isascii() or not whole.isdecimal() or (part and not part.isdecimal()) or len(part) > DECIMALS:
        raise ProjectInvalid(f'reward is {value!r}, it must be a text such as "0.5", with at most {DECIMALS} decimals')
    return int(whole) * HDL + int(part.ljust(DECIMALS, "0"))


def _inside(folder: Path, name: str, field: str) -> Path:
    path = folder / name
    if "\0" in name:
        raise ProjectInvalid(f"{field}: {name!r} is no name of a file")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ProjectInvalid(f"{field}: {name} is outside the job's folder")
    return path


def _input_path(folder: Path, name: str) -> Path | None:
    if not name:
        return None
    if not name.startswith(PACKAGE_PREFIX):
        return _inside(folder, name, "input")
    package, _, file = name.removeprefix(PACKAGE_PREFIX).partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or found.origin is None:
        raise ProjectInvalid(f"input: the package {package} is not installed")
    return _inside(Path(found.origin).parent, file, "input")


def _limits(resources: dict[str, Any], duration_ms: int) -> Limits:
    default = Limits()
    values = {
        name: _whole(resources, name, getattr(default, name), 0 if name != "fuel" else 1, (1 << 63) - 1)
        for name in sorted(_RESOURCES)
    }
    return Limits(**values, wall_ms=duration_ms)


def _capabilities(granted: dict[str, Any]) -> Capabilities:
    hosts = granted.get("fetch", [])
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise ProjectInvalid("capabilities.fetch must be a list of texts")
    for host in hosts:
        if not is_grant(host):
            raise ProjectInvalid(f"capabilities.fetch has {host!r}, an entry is host, host:port or *.domain")
    flags = {name: granted.get(name, False) for name in ("storage", "sign")}
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise ProjectInvalid(f"capabilities.{name} must be true or false")
    return Capabilities(tuple(hosts), **flags)


def _environment(table: dict[str, Any], secrets: dict[str, Any], folder: Path) -> ProjectEnvironment:
    try:
        return read_environment(table, secrets, folder)
    except EnvironmentInvalid as error:
        raise ProjectInvalid(str(error)) from error
