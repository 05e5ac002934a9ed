"""substrate-interface 1.8.1, unmodified, as a user has it, against a real development node."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.keys.pair import dev_pair
from tests.helpers.client_environment import client_python
from tests.helpers.dev_node import dev_node

SCRIPT = Path(__file__).with_name("substrate_session.py")
TIMEOUT_S = 150
UNIT = 10**12
BOB = dev_pair("Bob")
TARGET = "5Fwo3QRR77JrxbjWi12sbWdZvJgM9ETUBM8imfFk1wAKouXw"
SUBMITTED = ("mortal", "immortal", "module_error", "token_error", "batch")

pytestmark = pytest.mark.deadline(600)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the client saw in one session."""
    python = client_python()
    with dev_node(tmp_path_factory.mktemp("node"), "--no-processor") as node:
        done = subprocess.run(
            [python, SCRIPT, node.websocket_url, BOB.secret.hex()],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        yield json.loads(done.stdout)


def attributes(extrinsic: dict[str, Any], module: str, event: str) -> list[dict[str, Any]]:
    """The attributes of an extrinsic's events of one kind."""
    return [e["attributes"] for e in extrinsic["events"] if (e["module_id"], e["event_id"]) == (module, event)]


def test_the_client_reads_chain_account_and_constants(seen: dict[str, Any]) -> None:
    """Name, token, an account with balance and one without, constants and issuance arrive as declared."""
    assert seen["name"] == "Development"
    assert seen["properties"] == {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "HDL"}
    assert seen["block_hash_count"] == 4096
    assert seen["account"]["nonce"] == seen["nonce"] == 0
    assert seen["account"]["data"]["free"] == 10**6 * UNIT
    assert (seen["nobody"]["nonce"], seen["nobody"]["data"]["free"]) == (0, 0)
    assert seen["issuance"] == sum(free for _account, free in seen["accounts"])
    assert dict(seen["accounts"])[BOB.address] == seen["account"]["data"]["free"]


@pytest.mark.parametrize("kind", ["mortal", "immortal"])
def test_a_transfer_is_final_with_its_events(seen: dict[str, Any], kind: str) -> None:
    """A transfer signed with ed25519, mortal or immortal, becomes final with Transfer and ExtrinsicSuccess."""
    transfer = seen[kind]
    assert (transfer["success"], transfer["finalised"], transfer["error"]) == (True, True, None)
    assert attributes(transfer, "Balances", "Transfer") == [{"from": BOB.address, "to": TARGET, "amount": UNIT}]
    assert len(attributes(transfer, "System", "ExtrinsicSuccess")) == 1


def test_the_transfers_arrived(seen: dict[str, Any]) -> None:
    """Both transfers and nothing else are on the target; the sender paid exactly them and the fees."""
    assert seen["target"]["data"]["free"] == 2 * UNIT
    fees = sum(seen[kind]["fee"] for kind in SUBMITTED)
    assert seen["after"]["data"]["free"] == seen["account"]["data"]["free"] - 2 * UNIT - fees
    assert seen["after"]["nonce"] == len(SUBMITTED)


def test_a_block_is_read_by_names(seen: dict[str, Any]) -> None:
    """A block shows the inherent and the signed call with names and arguments, and its events belong to them."""
    block, transfer = seen["block"], seen["mortal"]
    assert block["hash"] == transfer["block"]
    inherent, signed = block["extrinsics"]
    assert (inherent["call"]["call_module"], inherent["call"]["call_function"]) == ("Timestamp", "set")
    assert (signed["call"]["call_module"], signed["call"]["call_function"]) == ("Balances", "transfer_keep_alive")
    assert {arg["name"]: arg["value"] for arg in signed["call"]["call_args"]} == {"dest": TARGET, "value": UNIT}
    assert (signed["address"], signed["nonce"], signed["tip"]) == (BOB.address, 0, 0)
    assert signed["extrinsic_hash"] == f"0x{transfer['hash']}"
    assert [e for e in block["events"] if e["extrinsic_idx"] == 1] == transfer["events"]


def test_the_fee_estimate_holds(seen: dict[str, Any]) -> None:
    """The fee estimated before is the fee paid, within the byte or two of an era and the multiplier's drift."""
    for kind in SUBMITTED:
        one = seen[kind]
        assert one["estimate"]["partialFee"] <= one["fee"] * 1.01
        assert one["fee"] <= one["estimate"]["partialFee"] * 1.01
        assert one["estimate"]["weight"] == one["weight"]
        assert [paid["actual_fee"] for paid in attributes(one, "TransactionPayment", "TransactionFeePaid")] == [
            one["fee"]
        ]


def test_a_module_error_has_its_name(seen: dict[str, Any]) -> None:
    """A call refused by a pallet's rule fails with the error's name and documentation, and its fee is paid."""
    failed = seen["module_error"]
    assert failed["success"] is False
    assert failed["error"] == {"type": "Module", "name": "RequireSudo", "docs": ["Sender must be the Sudo account."]}
    assert failed["fee"] > 0


def test_a_token_error_has_its_name_in_the_event(seen: dict[str, Any]) -> None:
    """A transfer of more than there is fails with Token.FundsUnavailable in ExtrinsicFailed.

    The library's own `error_message` knows Module, BadOrigin, CannotLookup and Other only, on every chain.
    """
    failed = seen["token_error"]
    assert (failed["success"], failed["error"]) == (False, None)
    (event,) = attributes(failed, "System", "ExtrinsicFailed")
    assert event["dispatch_error"] == {"Token": "FundsUnavailable"}


def test_calls_inside_calls_are_composed(seen: dict[str, Any]) -> None:
    """A batch_all that the client composed of two calls runs both."""
    assert seen["batch"]["success"] is True
    assert len(attributes(seen["batch"], "System", "Remarked")) == 2
    assert len(attributes(seen["batch"], "Utility", "BatchCompleted")) == 1
