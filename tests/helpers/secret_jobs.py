"""Jobs with sealed values on a small chain: what the tests of secrets share. The chain cannot open any of it."""

from typing import Any

from pallets.jobs import types
from pallets.secrets.contexts import SEALED_BYTES
from pallets.secrets.types import PrekeyCopy
from runtime.hashing import blake2b256
from tests.helpers.job_world import ALICE, PROCESSORS, World

TAG = b"sixteen bytes  !"
VALUES = bytes(300)
SEALED = b"\x07" * SEALED_BYTES
KEY = b"\x05" * 32


def secret_world(processors: int = 3) -> World:
    """Processors that advertise."""
    world = World()
    for processor in PROCESSORS[:processors]:
        world.offer_capacity(processor)
    return world


def secret_spec(world: World, sealing: types.Sealing, **changes: Any) -> types.JobSpec:
    """A job on one known processor with one sealed value."""
    environment = types.Environment((TAG,), sealing, public=True)
    return world.spec(**{"slots": 1, "environment": environment, "processors": types.Known(PROCESSORS), **changes})


def provided(world: World, sealing: types.Sealing = types.Sealing.SERVED, **changes: Any) -> int:
    """Register a job of Alice's and provide its values; its id."""
    job = world.register(spec=secret_spec(world, sealing, **changes))
    world.call("Secrets", "provide", ALICE, world.job(job).id_hash, VALUES)
    return job


def prekey(processor: bytes, number: int = 0) -> bytes:
    """A one-time key of a processor's."""
    return blake2b256(processor + bytes((number,)))


def publish(world: World, *processors: bytes, count: int = 1) -> None:
    """Each processor publishes its first `count` one-time keys."""
    for processor in processors:
        world.call("Secrets", "publish_prekeys", processor, tuple(prekey(processor, n) for n in range(count)))


def copies_for(*processors: bytes, number: int = 0) -> tuple[PrekeyCopy, ...]:
    """A copy for one of the one-time keys of each."""
    return tuple(PrekeyCopy(processor, prekey(processor, number), SEALED) for processor in processors)


def seal_to(world: World, job: int, *processors: bytes) -> None:
    """Seal a job's key to the first one-time key of each."""
    world.call("Secrets", "seal_to_prekeys", ALICE, world.job(job).id_hash, copies_for(*processors))
