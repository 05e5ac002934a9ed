"""The environment of a job's folder: names in heddle.toml, values from elsewhere, so that none lies with the script."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEALINGS = ("served", "prekeys")
VALUE_BYTES_MAX = 4_096
NAME_BYTES_MAX = 64
_SOURCE_FIELDS = {"from", "variable", "path", "hidden"}
_SECRETS_FIELDS = {"sealing", "public"}


class EnvironmentInvalid(ValueError):
    """A field has no meaning, or a value cannot be had; the message names the field and never the value."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one value comes from: the file itself (`text`), a variable of the shell, or another file.

    `hidden`: the script does not see it, but may have it put into its requests.
    """

    text: str | None = field(default=None, repr=False)
    variable: str | None = None
    path: Path | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class ProjectEnvironment:
    """Names and where their values come from. `sealing` None: whichever way can be had."""

    sources: dict[str, Source]
    sealing: str | None = None
    public: bool = False

    @property
    def hidden(self) -> tuple[str, ...]:
        """The names that the script does not see."""
        return tuple(name for name, source in self.sources.items() if source.hidden)

    def values(self) -> dict[str, str]:
        """The values, read now. Raises EnvironmentInvalid."""
        return {name: _value(name, source) for name, source in self.sources.items()}


def read_environment(table: dict[str, Any], secrets: dict[str, Any], folder: Path) -> ProjectEnvironment:
    """The tables [environment] and [secrets] of heddle.toml. Raises EnvironmentInvalid."""
    for name in secrets:
        if name not in _SECRETS_FIELDS:
            raise EnvironmentInvalid(f"unknown field secrets.{name}")
    sealing, public = secrets.get("sealing"), secrets.get("public", False)
    if sealing not in (None, *SEALINGS):
        raise EnvironmentInvalid(f"secrets.sealing is {sealing!r}, allowed are {', '.join(SEALINGS)}")
    if not isinstance(public, bool):
        raise EnvironmentInvalid("secrets.public must be true or false")
    return ProjectEnvironment({name: _source(name, raw, folder) for name, raw in table.items()}, sealing, public)


def _source(name: str, raw: object, folder: Path) -> Source:
    if not name or len(name.encode()) > NAME_BYTES_MAX or "\0" in name:
        raise EnvironmentInvalid(f"environment: a name has 1..{NAME_BYTES_MAX} bytes")
    if isinstance(raw, str):
        return Source(text=raw)
    if not isinstance(raw, dict) or not set(raw) <= _SOURCE_FIELDS:
        raise EnvironmentInvalid(f'environment.{name} must be a text, or a table such as {{ from = "env" }}')
    hidden = raw.get("hidden", False)
    if not isinstance(hidden, bool):
        raise EnvironmentInvalid(f"environment.{name}.hidden must be true or false")
    match raw.get("from"):
        case "env":
            variable = raw.get("variable", name)
            if not isinstance(variable, str) or "path" in raw:
                raise EnvironmentInvalid(f"environment.{name}.variable must be a text")
            return Source(variable=variable, hidden=hidden)
        case "file":
            path = raw.get("path")
            if not isinstance(path, str) or "\0" in path or "variable" in raw:
                raise EnvironmentInvalid(f"environment.{name}.path must be a text")
            return Source(path=_outside(name, folder, path), hidden=hidden)
    raise EnvironmentInvalid(f'environment.{name}.from must be "env" or "file"')


def _outside(name: str, folder: Path, text: str) -> Path:
    path = (folder / Path(text).expanduser()).resolve()
    if path.is_relative_to(folder.resolve()):
        raise EnvironmentInvalid(f"environment.{name}.path: keep the file outside of the job's folder")
    return path


def _value(name: str, source: Source) -> str:
    if source.text is not None:
        value = source.text
    elif source.variable is not None:
        if source.variable not in os.environ:
            raise EnvironmentInvalid(f"environment.{name}: the variable {source.variable} is not set")
        value = os.environ[source.variable]
    else:
        assert source.path is not None, "one of the three"
        try:
            with source.path.open("rb") as file:
                value = file.read(VALUE_BYTES_MAX + 1).decode().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise EnvironmentInvalid(f"environment.{name}: cannot read {source.path} as text") from error
    if "\0" in value or len(value.encode()) > VALUE_BYTES_MAX:
        raise EnvironmentInvalid(f"environment.{name}: at most {VALUE_BYTES_MAX} bytes, none of them zero")
    return value
