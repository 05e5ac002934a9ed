"""The fields of heddle.toml that steer a job's life: its inputs, its place among others, its script's editor.

inputs = ["parts/*.csv"]        # instead of `input`: files or patterns, one execution for each file, by name
editor = "5F..."                # who may replace the script; nobody if left out

[queue]
priority = 0                    # 0..31, higher first; age makes up for it
lane = ""                       # a named queue of yours
concurrency = 1                 # how many jobs of the lane run at a time
preemptible = false             # may an urgent job take the processor, and pay for what was done?

[assignment]
mode = "single"                 # or competing: each execution is competed for before it starts
instant = []                    # addresses: one processor for each slot, offered at once

[fallback]                      # what runs once instead, after the job has failed
script = "plan-b.py"
runtime = "python"
entrypoint = ""
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODES = ("single", "competing")
FIELDS = {
    "queue": ("priority", "lane", "concurrency", "preemptible"),
    "assignment": ("mode", "instant"),
    "fallback": ("script", "runtime", "entrypoint"),
}
TOP = ("inputs", "editor")


class LifeInvalid(ValueError):
    """A field has no meaning; the message names it and what it may be."""


@dataclass(frozen=True, slots=True)
class Life:
    """Defaults are a job of one input, in nobody's way and in nobody's lane."""

    inputs: tuple[Path, ...] = ()
    editor: str = ""
    priority: int = 0
    lane: str = ""
    concurrency: int = 1
    preemptible: bool = False
    competing: bool = False
    instant: tuple[str, ...] = ()
    fallback_script: Path | None = None
    fallback_runtime: str = ""
    fallback_entrypoint: str = ""


def read_life(raw: dict[str, Any], folder: Path, runtime: str) -> Life:
    """The fields in a parsed heddle.toml. Raises LifeInvalid."""
    queue, assignment, fallback = (_table(raw, name) for name in FIELDS)
    mode = assignment.get("mode", MODES[0])
    if mode not in MODES:
        raise LifeInvalid(f"assignment.mode is {mode!r}, allowed are {', '.join(MODES)}")
    script = _text(fallback, "fallback.", "script", "")
    if fallback and not script:
        raise LifeInvalid("fallback.script is missing")
    if raw.get("inputs") and raw.get("input"):
        raise LifeInvalid("input and inputs: give one of them")
    return Life(
        inputs=_files(folder, _texts(raw, "", "inputs")),
        editor=_text(raw, "", "editor", ""),
        priority=_whole(queue, "priority", 0),
        lane=_text(queue, "queue.", "lane", ""),
        concurrency=_whole(queue, "concurrency", 1),
        preemptible=_flag(queue, "preemptible"),
        competing=mode == "competing",
        instant=_texts(assignment, "assignment.", "instant"),
        fallback_script=_inside(folder, script, "fallback.script") if script else None,
        fallback_runtime=_text(fallback, "fallback.", "runtime", runtime),
        fallback_entrypoint=_text(fallback, "fallback.", "entrypoint", ""),
    )


def _files(folder: Path, patterns: tuple[str, ...]) -> tuple[Path, ...]:
    """The files that the patterns find, each pattern's by name."""
    found: list[Path] = []
    for pattern in patterns:
        _inside(folder, pattern, "inputs")
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        if not files:
            raise LifeInvalid(f"inputs: {pattern} finds no file in {folder}")
        found += [_inside(folder, str(path.relative_to(folder)), "inputs") for path in files]
    return tuple(found)


def _inside(folder: Path, name: str, field: str) -> Path:
    path = folder / name
    if "\0" in name:
        raise LifeInvalid(f"{field}: {name!r} is no name of a file")
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise LifeInvalid(f"{field}: {name} is outside the job's folder")
    return path


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict):
        raise LifeInvalid(f"{name} must be a table")
    for field in table:
        if field not in FIELDS[name]:
            raise LifeInvalid(f"unknown field {name}.{field}, known are {', '.join(FIELDS[name])}")
    return table


def _text(table: dict[str, Any], prefix: str, name: str, default: str) -> str:
    value = table.get(name, default)
    if not isinstance(value, str):
        raise LifeInvalid(f"{prefix}{name} must be a text")
    return value


def _texts(table: dict[str, Any], prefix: str, name: str) -> tuple[str, ...]:
    values = table.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise LifeInvalid(f"{prefix}{name} must be a list of texts")
    return tuple(values)


def _whole(table: dict[str, Any], name: str, default: int) -> int:
    value = table.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 255:
        raise LifeInvalid(f"queue.{name} is {value!r}, it must be a whole number, 0..255")
    return value


def _flag(table: dict[str, Any], name: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise LifeInvalid(f"queue.{name} must be true or false")
    return value
