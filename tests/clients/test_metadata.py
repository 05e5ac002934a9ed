"""scalecodec 1.2.12, unmodified, reads all that our metadata declares."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.heddle import Heddle
from runtime.metadata import metadata_v14
from runtime.pallet import CallDefinition
from runtime.runtime import PHASE_FINALIZATION
from runtime.scale.codec import encode_compact
from tests.helpers.client_environment import client_python
from tests.helpers.scale_samples import Pick, first, last, sample

SCRIPT = Path(__file__).with_name("decode_everything.py")
TIMEOUT_S = 120
PICKS = (first, last)


def call_sample(runtime: Heddle, definition: CallDefinition, pick: Pick) -> bytes:
    """An encoded call, which our own codec takes and gives back unchanged."""
    arguments = b"".join(sample(codec, pick) for _name, codec, _type in definition.fields)
    data = bytes((definition.pallet_index, definition.index)) + arguments
    assert runtime.call_codec.encode(runtime.call_codec.decode(data)) == data
    return data


def event_samples(runtime: Heddle, pick: Pick) -> list[bytes]:
    """System.Events with one event, for each kind of event."""
    made = []
    for pallet in runtime.pallets:
        for number, event in enumerate(pallet.events):
            body = bytes((pallet.index, number)) + sample(runtime.registry.codec(event), pick)
            data = encode_compact(1) + PHASE_FINALIZATION + body + b"\x00"
            records = runtime.system.events_value.codec.decode(data)
            assert isinstance(records[0].event, event)
            made.append(data)
    return made


def storage_samples(runtime: Heddle, pick: Pick) -> dict[str, bytes]:
    """A value of each storage item but System.Events, whose samples are above."""
    made = {}
    for pallet in runtime.pallets:
        for item in pallet.storage:
            if item is not runtime.system.events_value:
                made[f"{pallet.name}.{item.item}"] = sample(item.codec, pick)
    return made


@pytest.fixture(scope="module")
def runtime() -> Heddle:
    """The composed runtime."""
    return Heddle()


@pytest.fixture(scope="module", params=PICKS, ids=lambda pick: pick.__name__)
def decoded(request: pytest.FixtureRequest, runtime: Heddle) -> dict[str, Any]:
    """What scalecodec made of metadata and samples; sum types take their first or their last variant."""
    pick: Pick = request.param
    given = {
        "metadata": "0x" + metadata_v14(runtime).hex(),
        "calls": ["0x" + call_sample(runtime, one, pick).hex() for one in runtime.calls.values()],
        "events": ["0x" + data.hex() for data in event_samples(runtime, pick)],
        "values": {name: "0x" + data.hex() for name, data in storage_samples(runtime, pick).items()},
    }
    done = subprocess.run(
        [client_python(), SCRIPT],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


@pytest.mark.deadline(400)
def test_no_type_is_unknown(decoded: dict[str, Any]) -> None:
    """An object of every type can be made: of the registry, of storage and its keys, calls, events, constants."""
    assert decoded["unknown"] == []
    assert decoded["types"] > 100
    assert all(decoded["counts"].values())


def test_every_call_is_read_by_name(decoded: dict[str, Any], runtime: Heddle) -> None:
    """Each call is decoded to its pallet, name and argument names, with no byte left over."""
    assert len(decoded["calls"]) == len(runtime.calls)
    for value, definition in zip(decoded["calls"], runtime.calls.values(), strict=True):
        assert (value["call_module"], value["call_function"]) == (definition.pallet, definition.name)
        assert [argument["name"] for argument in value["call_args"]] == [
            name for name, _codec, _type in definition.fields
        ]


def test_every_event_is_read_by_name(decoded: dict[str, Any], runtime: Heddle) -> None:
    """Each event is decoded to its pallet and name."""
    expected = [(pallet.name, event.__name__) for pallet in runtime.pallets for event in pallet.events]
    records = [found[0] for found in decoded["events"]]
    assert [(record["module_id"], record["event_id"]) for record in records] == expected


def test_every_error_has_a_name(decoded: dict[str, Any], runtime: Heddle) -> None:
    """The errors that clients can name are those of the pallets."""
    assert decoded["errors"] == [error.__name__ for pallet in runtime.pallets for error in pallet.errors]


def test_every_storage_value_is_read(decoded: dict[str, Any], runtime: Heddle) -> None:
    """A value of each storage item is decoded, with no byte left over."""
    assert set(decoded["values"]) == set(storage_samples(runtime, first))
