"""`heddle job init`: a folder with a job that runs as it is, copied from one of the templates in cli/templates.

A template is a folder of text files. Its template.toml, which is not copied, holds a line of summary and the settings
that `--set` changes; `{{setting}}` in the other files stands for its value, `{{name}}` and `{{folder}}` for the new
folder.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError, Refused

TEMPLATES = Path(__file__).resolve().parent / "templates"
DESCRIPTION = "template.toml"
OF_RUNTIME = {
    "python": "one-shot",
    "javascript": "one-shot-javascript",
    "wasm": "wasm-module",
}
"""What `--runtime` alone begins with."""
VALUE_CHARACTERS_MAX = 256
UNFIT_CHARACTERS = "\"'\\{}"
"""None may be in a setting's value: it is put between quotes, as it is."""


@dataclass(frozen=True)
class Template:
    """A folder that jobs are copied from. `settings` are names and defaults, in order."""

    name: str
    summary: str
    settings: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return TEMPLATES / self.name

    def values(self, given: Mapping[str, str]) -> dict[str, str]:
        """Every setting's value; a default may mention settings that stand before it."""
        for name in given:
            if name not in self.settings:
                known = ", ".join(self.settings) or "none"
                raise Refused(f"set: {self.name} has no setting {name!r}, it has {known}", "leave it out")
        values: dict[str, str] = {}
        for name, default in self.settings.items():
            values[name] = checked(name, given[name]) if name in given else filled(default, values)
        return values


def templates() -> list[Template]:
    """All that there are, by name."""
    found = []
    for path in sorted(TEMPLATES.glob(f"*/{DESCRIPTION}")):
        raw = tomllib.loads(path.read_text())
        found.append(Template(path.parent.name, raw["summary"], raw.get("settings", {})))
    return found


def template_of(name: str | None, runtime: str | None) -> Template:
    """The template of that name, or the one that a job of this runtime begins with; Refused says what there is."""
    if name is not None and runtime is not None:
        raise Refused("template and runtime: each template has its runtime", "give one of them")
    if name is None:
        if runtime is not None and runtime not in OF_RUNTIME:
            raise Refused(f"runtime: {runtime!r}, allowed are {', '.join(OF_RUNTIME)}", "leave it out for python")
        name = OF_RUNTIME[runtime or "python"]
    known = {template.name: template for template in templates()}
    if name not in known:
        raise Refused(f"template: there is no {name!r}, there are {', '.join(known)}", "see `--list-templates`")
    return known[name]


def settings_of(pairs: Iterable[str]) -> dict[str, str]:
    """`--set name=value` as names and values."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in settings:
            raise Refused(f"set: {pair!r} is not name=value, each name once", "write it as --set host=example.org")
        settings[name] = value
    return settings


def checked(name: str, value: str) -> str:
    """A value that means itself between quotes in TOML and JSON."""
    if len(value) > VALUE_CHARACTERS_MAX or not value.isprintable() or any(one in UNFIT_CHARACTERS for one in value):
        allowed = f"at most {VALUE_CHARACTERS_MAX} printable characters without quotes, backslashes and braces"
        raise Refused(f"set: {name}: allowed are {allowed}", "write it into the files afterwards")
    return value


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `{{name}}` replaced by its value."""
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def write_template(folder: Path, template: Template, given: Mapping[str, str]) -> list[str]:
    """Write a job that runs as it is; its files, heddle.toml first. Refused if the folder holds anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"folder: {folder} exists and is not an empty folder", "choose another name")
    values = template.values(given)
    values |= {"name": checked("name", folder.resolve().name), "folder": str(folder)}
    sources = [path for path in template.folder.iterdir() if path.is_file() and path.name != DESCRIPTION]
    sources.sort(key=lambda path: (path.name != "heddle.toml", not path.name.startswith("main."), path.name))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sources:
            (folder / path.name).write_text(filled(path.read_text(), values))
    except OSError as error:
        raise CliError(f"folder: {error}", "choose a place where you may write") from error
    return [path.name for path in sources]
