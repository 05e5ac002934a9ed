"""A user's session with substrate-interface 1.8.1, run by the Python of .venv-clients.

    python substrate_session.py WEBSOCKET-URL SEED-HEX

SEED-HEX is the ed25519 seed of an account with balance. Prints one JSON document of everything the client saw; the
tests say what that has to be.
"""

import json
import sys
from typing import Any

from substrateinterface import Keypair, KeypairType, SubstrateInterface

UNIT = 10**12
TARGET = "0x" + "ab" * 32
MORE_THAN_ALL = 10**32


def values(items: Any) -> list[Any]:
    """Plain values of decoded SCALE objects."""
    return [item.value for item in items]


def receipt_json(receipt: Any) -> dict[str, Any]:
    """What the library makes of an extrinsic's fate."""
    return {
        "success": receipt.is_success,
        "error": receipt.error_message,
        "finalised": receipt.finalized,
        "fee": receipt.total_fee_amount,
        "weight": receipt.weight,
        "block": receipt.block_hash,
        "events": values(receipt.triggered_events),
    }


class Session:
    """One connection and one account."""

    def __init__(self, url: str, seed: str) -> None:
        self.chain = SubstrateInterface(url=url)
        self.pair = Keypair.create_from_seed(seed, crypto_type=KeypairType.ED25519)

    def look(self) -> dict[str, Any]:
        """The chain, an account, a constant, storage of several kinds."""
        chain = self.chain
        accounts = chain.query_map("System", "Account", max_results=20)
        return {
            "name": chain.chain,
            "properties": chain.properties,
            "version": chain.version,
            "account": self.account(),
            "nobody": chain.query("System", "Account", ["0x" + "01" * 32]).value,
            "block_hash_count": chain.get_constant("System", "BlockHashCount").value,
            "existential_deposit": chain.get_constant("Balances", "ExistentialDeposit").value,
            "issuance": chain.query("Balances", "TotalIssuance").value,
            "accounts": [[key.value, value.value["data"]["free"]] for key, value in accounts],
            "nonce": chain.get_account_nonce(self.pair.ss58_address),
        }

    def account(self) -> Any:
        """The user's account as the chain has it."""
        return self.chain.query("System", "Account", [self.pair.ss58_address]).value

    def submit(self, module: str, function: str, params: dict[str, Any], era: Any, *, final: bool) -> dict[str, Any]:
        """Sign, submit, wait; what the client then knows, with the fee it estimated before."""
        call = self.chain.compose_call(module, function, params)
        estimate = self.chain.get_payment_info(call, self.pair)
        extrinsic = self.chain.create_signed_extrinsic(call, self.pair, era=era)
        receipt = self.chain.submit_extrinsic(extrinsic, wait_for_inclusion=not final, wait_for_finalization=final)
        return {"estimate": estimate, "hash": extrinsic.extrinsic_hash.hex(), **receipt_json(receipt)}

    def block(self, block_hash: str) -> dict[str, Any]:
        """A block with its extrinsics and events by name."""
        block = self.chain.get_block(block_hash)
        return {
            "number": block["header"]["number"],
            "hash": block["header"]["hash"],
            "extrinsics": values(block["extrinsics"]),
            "events": values(self.chain.get_events(block_hash)),
        }

    def run(self) -> dict[str, Any]:
        """Everything, in order."""
        seen = self.look()
        payment = {"dest": TARGET, "value": UNIT}
        seen["mortal"] = self.submit("Balances", "transfer_keep_alive", payment, {"period": 64}, final=True)
        seen["block"] = self.block(seen["mortal"]["block"])
        seen["immortal"] = self.submit("Balances", "transfer_keep_alive", payment, None, final=True)
        seen["target"] = self.chain.query("System", "Account", [TARGET]).value
        nobody_may = {"call": self.chain.compose_call("System", "remark", {"remark": "0x"})}
        seen["module_error"] = self.submit("Sudo", "sudo", nobody_may, None, final=False)
        too_much = {"dest": TARGET, "value": MORE_THAN_ALL}
        seen["token_error"] = self.submit("Balances", "transfer_keep_alive", too_much, None, final=False)
        batch = [self.chain.compose_call("System", "remark_with_event", {"remark": "0x" + 40 * "a"}) for _ in range(2)]
        seen["batch"] = self.submit("Utility", "batch_all", {"calls": batch}, None, final=False)
        seen["after"] = self.account()
        return seen


if __name__ == "__main__":
    json.dump(Session(sys.argv[1], sys.argv[2]).run(), sys.stdout)
