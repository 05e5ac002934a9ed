"""Opened: the values of a job's environment, in the clear, for one run."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.secrets.boxes import SecretsInvalid
from pallets.jobs.types import JobSpec
from pallets.secrets.contexts import name_tag


@dataclass(frozen=True, slots=True)
class Opened:
    """A job's environment. The script reads `visible`; `hidden` is only put into its requests."""

    visible: dict[str, str] = field(repr=False)
    hidden: dict[str, str] = field(repr=False)


def split(spec: JobSpec, secret_key: bytes, values: dict[str, str]) -> Opened:
    """What the script may read, and what is only put into its requests. SecretsInvalid if the names are others."""
    assert spec.environment is not None, "the job has an environment"
    tags = {name_tag(secret_key, name): name for name in values}
    if set(tags) != set(spec.environment.names):
        raise SecretsInvalid("the names are not those of the specification")
    hidden = {tags[tag] for tag in spec.capabilities.secrets}
    return Opened(
        {name: value for name, value in values.items() if name not in hidden},
        {name: value for name, value in values.items() if name in hidden},
    )
