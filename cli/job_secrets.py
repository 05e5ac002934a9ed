"""A job's secrets on the side of its owner: what is registered with the job, who gets its key, and where that is kept.

The key lies in ~/.heddle/secrets, one file per job, locked with the secret of the account that signed the job.
"""

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from cli.errors import NotFound, Refused
from node.keys.files import SecretFileError, read_private, write_private
from node.keys.wallet import home
from node.secrets.boxes import SecretsInvalid, seal_values
from node.secrets.owner import copies_for_prekeys, copy_for_slot
from pallets.jobs.pallet import job_hash
from pallets.jobs.records import SlotState
from pallets.jobs.types import JobSpec, Known, Personal, RuntimeKind, Sealing
from pallets.secrets.contexts import values_context
from pallets.secrets.types import PREKEY_COPIES_MAX
from runtime.hashing import blake2b256, personal
from runtime.heddle import Heddle
from runtime.pallet import RuntimeCall

if TYPE_CHECKING:
    from node.keys.pair import Pair

ADVERTS_SEEN_MAX = 256
_lock = personal(b"heddle/jobkeys")


def readers_of(runtime: Heddle, choice: object, kind: RuntimeKind) -> list[tuple[bytes, bytes]]:
    """(processor, its oldest one-time key) of at most 16: of those that the job names, else of staked ones."""
    if isinstance(choice, Personal | Known):
        candidates = iter(choice.processors)
    else:
        count = min(runtime.processors.advertised(kind), ADVERTS_SEEN_MAX)
        listed = (runtime.processors.advert_at.get((kind, place)) for place in range(count))
        candidates = (who for who in listed if runtime.processors.units(who))
    found = ((who, keys[0]) for who in candidates if (keys := runtime.secrets.prekeys.get(who)))
    return list(islice(found, PREKEY_COPIES_MAX))


def with_secrets(
    runtime: Heddle, genesis: bytes, owner: bytes, spec: JobSpec, secret_key: bytes, values: dict[str, str]
) -> tuple[tuple[RuntimeCall, ...], bytes]:
    """The calls that register a job with its environment, and the job's hash. Refused if the values do not fit."""
    assert spec.environment is not None, "the job has an environment"
    sequence = runtime.jobs.sequences.get(owner)
    name = job_hash(genesis, owner, sequence, blake2b256(runtime.jobs.specs.codec.encode(spec)))
    try:
        sealed = seal_values(secret_key, values_context(genesis, owner, sequence), values)
    except SecretsInvalid as error:
        raise Refused(
            str(error), "shorten the values, or put them into a blob under a key that is one of them"
        ) from error
    calls = [
        runtime.definition("Jobs", "register")(spec),
        runtime.definition("Secrets", "provide")(name, sealed),
    ]
    if spec.environment.sealing is Sealing.PREKEYS:
        readers = readers_of(runtime, spec.processors, spec.runtime)
        if not readers:
            raise Refused(
                "secrets.sealing: no processor that may get the job has published one-time keys",
                'use sealing = "served", and keep `heddle job serve-secrets` running',
            )
        copies = copies_for_prekeys(genesis, name, readers, secret_key)
        calls.append(runtime.definition("Secrets", "seal_to_prekeys")(name, copies))
    return tuple(calls), name


def keep_key(signer: "Pair", job: bytes, secret_key: bytes) -> Path:
    """Write a job's key down, for `serve-secrets`."""
    path = key_path(job)
    box = bytes(SecretBox(_lock(signer.secret)).encrypt(secret_key))
    write_private(path, json.dumps({"version": 1, "box": box.hex()}).encode())
    return path


def kept_key(signer: "Pair", job: bytes) -> bytes:
    """A job's key. NotFound if it is not here, Refused if another account wrote it."""
    try:
        record = json.loads(read_private(key_path(job)))
        return SecretBox(_lock(signer.secret)).decrypt(bytes.fromhex(record["box"]))
    except FileNotFoundError as error:
        raise NotFound(
            "job: its key is not in ~/.heddle/secrets", "it is where `heddle job submit` was run, by the job's owner"
        ) from error
    except (CryptoError, KeyError, ValueError, TypeError, SecretFileError) as error:
        raise Refused(f"job: {key_path(job)} does not open with this account", "sign as the job's owner") from error


def key_path(job: bytes) -> Path:
    """The file of a job's key."""
    return home() / "secrets" / f"{job.hex()}.json"


def waiting_slots(runtime: Heddle, job: int) -> list[int]:
    """The slots whose processor has acknowledged and has no copy yet."""
    return [
        number
        for number, slot in runtime.jobs.slots_of(job)
        if slot.state is SlotState.ACKNOWLEDGED and slot.key is not None and not slot.sealed
    ]


def served(runtime: Heddle, genesis: bytes, job: int, number: int, secret_key: bytes) -> RuntimeCall:
    """The call that seals a job's key to the processor of a slot."""
    slot, name = runtime.jobs.slot(job, number), runtime.jobs.job(job).id_hash
    sealed = copy_for_slot(genesis, name, number, slot, secret_key)
    return runtime.definition("Secrets", "seal")(job, number, slot.generation, sealed)


def readers_document(runtime: Heddle, job: int) -> list[dict[str, Any]]:
    """Who has a copy of a job's key, and for which slot and generation it is."""
    return [
        {
            "processor": copy.processor,
            "slot": None if copy.place is None else copy.place.slot,
            "generation": None if copy.place is None else copy.place.generation,
        }
        for copy in runtime.secrets.copies.get(job)
    ]
