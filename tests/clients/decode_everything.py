"""scalecodec reads our metadata and samples without a node, run by the Python of .venv-clients.

Standard input: {"metadata": hex, "calls": [hex], "events": [hex], "values": {"Pallet.Item": hex}}.
Standard output: what became of each, by name; unknown types under "unknown".
"""

import json
import sys
from typing import Any

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset


class Decoder:
    """scalecodec, set up with a chain's metadata as substrate-interface does it."""

    def __init__(self, metadata: str) -> None:
        self.config = RuntimeConfigurationObject(implements_scale_info=True)
        self.config.update_type_registry(load_type_registry_preset("core"))
        self.metadata = self.config.create_scale_object("MetadataVersioned", ScaleBytes(metadata))
        self.metadata.decode()
        self.config.add_portable_registry(self.metadata)
        self.types = self.metadata.portable_registry["types"]

    def every_type(self) -> list[str]:
        """Make an object of each type of the registry; the ones that cannot be made."""
        return [bad for number in range(len(self.types)) if (bad := self.unmakeable(f"scale_info::{number}"))]

    def unmakeable(self, type_string: str) -> str | None:
        """Why an object of the type cannot be made; None if it can."""
        try:
            made = self.config.create_scale_object(type_string, metadata=self.metadata)
        except NotImplementedError as error:
            return f"{type_string}: {error}"
        return None if made is not None else type_string

    def named_types(self) -> dict[str, list[str]]:
        """The types of every storage item, call, event, error and constant."""
        found: dict[str, list[str]] = {kind: [] for kind in ("storage", "calls", "events", "errors", "constants")}
        for pallet in self.metadata.pallets:
            for item in pallet.storage or []:
                found["storage"] += [item.get_value_type_string(), *item.get_params_type_string()]
            for call in pallet.calls or []:
                found["calls"] += [argument.type for argument in call.args]
            for event in pallet.events or []:
                found["events"] += [argument.type for argument in event.args]
            found["errors"] += [error.name for error in pallet.errors or []]
            found["constants"] += [constant.type for constant in pallet.constants or []]
        return found

    def decode(self, type_string: str, data: str) -> Any:
        """A value; ValueError if bytes are left over."""
        scale = self.config.create_scale_object(type_string, ScaleBytes(data), metadata=self.metadata)
        return scale.decode(check_remaining=True)

    def storage(self, name: str, data: str) -> Any:
        """A storage value by `Pallet.Item`."""
        pallet, item = name.split(".")
        found = self.metadata.get_metadata_pallet(pallet).get_storage_function(item)
        return self.decode(found.get_value_type_string(), data)


def main() -> None:
    """Decode what standard input holds."""
    given = json.load(sys.stdin)
    decoder = Decoder(given["metadata"])
    named = decoder.named_types()
    unknown = decoder.every_type()
    for kind in ("storage", "calls", "events", "constants"):
        unknown += [f"{kind}: {bad}" for name in dict.fromkeys(named[kind]) if (bad := decoder.unmakeable(name))]
    json.dump(
        {
            "unknown": unknown,
            "counts": {kind: len(names) for kind, names in named.items()},
            "errors": named["errors"],
            "types": len(decoder.types),
            "calls": [decoder.decode("Call", data) for data in given["calls"]],
            "events": [decoder.storage("System.Events", data) for data in given["events"]],
            "values": {name: decoder.storage(name, data) for name, data in given["values"].items()},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
