"""Changes of voters through the real runtime: keys exchanged by an extrinsic, finality handed over at the boundary."""

from __future__ import annotations

from pathlib import Path

from node.beacon_chain import genesis_commitment
from node.keys.keystore import GRAN
from node.keys.pair import Pair, dev_pair
from node.node import Node
from pallets.session_keys import SessionKeys, possession_message
from runtime.dev_accounts import dev_validator
from runtime.extrinsic import SigningContext, sign_extrinsic
from runtime.heddle import TRANSACTION_VERSION
from tests.sim.world import World, living, simulate

NAMES = ["Alice", "Bob", "Charlie", "Dave"]
SESSION_SLOTS = 6


def submit(node: Node, signer: Pair, pallet: str, call: str, *arguments: object) -> None:
    """Send a signed call to a node's pool; the signer has not signed anything before."""
    runtime = node.chain.at(node.chain.best.hash)
    data = runtime.call_codec.encode(runtime.definition(pallet, call)(*arguments))
    context = SigningContext(runtime.state.spec, TRANSACTION_VERSION, node.chain.genesis_hash)
    node.transactions.submit(sign_extrinsic(data, signer.public, signer.sign, context, nonce=0), local=True)


def sets(world: World) -> set[int]:
    """The sets that the nodes which are up are in."""
    return {machine.node.finality.round_state()["setId"] for machine in world.machines if machine.node is not None}


def test_voters_change_and_finality_goes_on(tmp_path: Path) -> None:
    """Bob votes by a new key, then Dave leaves: two hand-overs, each with a stored proof; restarts and a late
    follower come out in the same set.
    """

    async def main() -> None:
        async with living(1, NAMES, tmp_path, followers=["Watcher"], session_slots=SESSION_SLOTS) as world:
            watcher = world.machines[-1]
            await watcher.crash()
            alice, bob = world.machines[:2]
            await world.until(lambda: min(world.finalised()) >= 2, 20, "a start")
            new, pair = dev_pair("Eve"), dev_pair("Bob")
            keys = SessionKeys(pair.public, new.public, genesis_commitment(pair.secret))
            message = possession_message(alice.up.chain.genesis_hash, pair.public, keys)
            submit(alice.up, pair, "Session", "set_keys", keys, pair.sign(message) + new.sign(message))
            submit(alice.up, dev_pair("Dave"), "Session", "purge_keys")
            bob.keystore.insert(GRAN, new)
            await world.until(lambda: sets(world) == {1}, 60, "the next set")
            voters = alice.up.finality.round_state()["best"]["totalWeight"]
            assert voters == 3
            goal = world.best() + 4
            await world.until(lambda: min(world.finalised()) >= goal, 30, "finality in the new set")
            grandpa = alice.up.chain.at(alice.up.chain.finalised.hash).grandpa
            keys_now = [key for key, _ in grandpa.authorities.get()]
            assert new.public in keys_now
            assert dev_validator("Dave").grandpa not in keys_now
            for machine in world.machines[:4]:
                await machine.crash()
            for machine in world.machines:
                await machine.start()
            goal = world.best() + 4
            await world.until(lambda: len(world.finalised()) == 5 and min(world.finalised()) >= goal, 60, "all agree")
            assert sets(world) == {1}
            boundary = next(
                number
                for number in range(1, goal)
                if watcher.up.chain.at(watcher.up.chain.store.hash_at(number) or b"").grandpa.current_set_id.get() == 1
            )
            for machine in world.machines:
                store = machine.up.chain.store
                assert store.justification(store.hash_at(boundary) or b"") is not None

    simulate(main)
