"""The proof that a processor belongs to a manager: signed by the manager, kept in a file if need be.

The file is JSON: {"processor", "manager", "counter", "expires_ms", "scheme", "signature"}; it holds no secret.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import CliError, NotFound, Refused
from cli.job_submission import chain_time_ms
from runtime import ss58

if TYPE_CHECKING:
    from cli.chain_client import ChainClient
    from node.keys.pair import Pair
    from pallets.processors.types import PairingProof

FILE_BYTES_MAX = 4_096
MINUTE_MS = 60_000


def sign_proof(chain: "ChainClient", processor: bytes, manager: "Pair", minutes: int) -> "PairingProof":
    """The manager's proof for this processor, with the next counter."""
    from cli.chain_client import bytes_of
    from pallets.processors.types import PairingProof, pairing_message

    record = chain.at().processors.records.find(processor)
    if record is None:
        hint = "a node with --processor registers itself once its account has money"
        raise NotFound(f"{ss58.encode(processor)} is no registered processor", hint)
    counter, expires_ms = record.pairing_counter + 1, chain_time_ms(chain) + minutes * MINUTE_MS
    message = pairing_message(bytes_of(chain.genesis_hash), processor, manager.public, counter, expires_ms)
    return PairingProof(manager.public, counter, expires_ms, int(manager.scheme), manager.sign(message))


def proof_document(proof: "PairingProof") -> dict[str, Any]:
    """A proof as JSON has it."""
    return {
        "manager": ss58.encode(proof.manager),
        "counter": proof.counter,
        "expires_ms": proof.expires_ms,
        "scheme": proof.scheme,
        "signature": "0x" + proof.signature.hex(),
    }


def write_proof(file: Path, proof: "PairingProof") -> None:
    """Write a proof to a file."""
    try:
        file.write_text(json.dumps(proof_document(proof), indent=2) + "\n")
    except OSError as error:
        raise CliError(f"save: {error}", "choose another file") from error


def read_proof(file: Path) -> "PairingProof":
    """The proof in a file; Refused if it is none."""
    from pallets.processors.types import PairingProof

    try:
        with file.open("rb") as opened:
            document = json.loads(opened.read(FILE_BYTES_MAX))
        return PairingProof(
            ss58.decode(document["manager"]),
            int(document["counter"]),
            int(document["expires_ms"]),
            int(document["scheme"]),
            bytes.fromhex(document["signature"].removeprefix("0x")),
        )
    except OSError as error:
        raise NotFound(f"proof: {error}", "make one with `heddle processor pair --manager NAME --save FILE`") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"proof: {file} holds none ({error})", "make it again with --save") from error
