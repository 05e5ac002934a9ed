"""Finality of whole nodes on simulated ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from consensus.grandpa.messages import GOSSIP, Justification, Neighbour, check_justification
from consensus.grandpa.voter_set import VoterSet
from consensus.votes_gate import Record, RecordKind, scan
from node.finality.exchange import verify_ed25519
from node.keys.keystore import GRAN
from node.network.port import Kind
from runtime import ss58
from runtime.dev_accounts import dev_validator
from tests.sim.world import Machine, World, living, simulate

NAMES = ["Alice", "Bob", "Charlie", "Dave"]


def run_world(
    folder: Path, names: list[str], test: Callable[[World], Awaitable[None]], followers: list[str] | None = None
) -> None:
    """Run a test in a living network."""

    async def main() -> None:
        async with living(1, names, folder, followers=followers) as world:
            await test(world)

    simulate(main)


def records_of(machine: Machine) -> list[Record]:
    """What a machine's vote log holds."""
    found = scan(machine.votes.content)
    assert not found.damaged
    return list(found.records)


def check_no_double_votes(*logs: bytes) -> None:
    """No key signed two blocks of one kind in one round, or one slot twice, over all of these logs."""
    seen: dict[tuple[bytes, int, int, RecordKind], bytes] = {}
    for log in logs:
        for record in scan(log).records:
            key = (record.key, record.set_id, record.round, record.kind)
            assert seen.setdefault(key, record.target) == record.target


def test_a_lone_validator_finalises_each_block_at_once(tmp_path: Path) -> None:
    """With one voter each block is final before the next one, and a crash at any moment changes nothing of that."""

    async def test(world: World) -> None:
        (alice,) = world.machines
        await world.until(lambda: world.best() >= 5, 10, "five blocks")
        assert world.finalised()[0] >= world.best() - 1
        for _ in range(3):
            goal = world.best() + 3
            await alice.crash()
            await alice.start()
            # A lambda's type cannot be said.
            await world.until(lambda goal=goal: world.finalised()[0] >= goal, 15, "finality after a restart")  # type: ignore[misc]
        check_no_double_votes(alice.votes.content)
        assert len([r for r in records_of(alice) if r.kind is RecordKind.AUTHORED]) >= world.best()

    run_world(tmp_path, ["Alice"], test)


def test_four_validators_and_a_follower_agree(tmp_path: Path) -> None:
    """Finality follows the head on all nodes, and the stored justifications prove it to a stranger."""

    async def test(world: World) -> None:
        await world.until(lambda: world.best() >= 12, 30, "twelve blocks")
        await world.until(lambda: min(world.finalised()) >= 11, 5, "finality one block behind")
        chains = [machine.up.chain for machine in world.machines]
        assert len({chain.store.hash_at(11) for chain in chains}) == 1
        follower = chains[-1]
        voters = VoterSet([(dev_validator(name).grandpa, 1) for name in NAMES])
        proofs = [follower.store.justification(follower.store.hash_at(number) or b"") for number in range(1, 12)]
        found = [Justification.decode(proof) for proof in proofs if proof is not None]
        assert len(found) >= 8
        for proof in found:
            check_justification(proof, 0, voters, verify_ed25519)

    run_world(tmp_path, NAMES, test, ["Watcher"])


def test_one_of_four_may_be_away(tmp_path: Path) -> None:
    """The others go on without it and say who is missing; back, it catches up and votes again."""

    async def test(world: World) -> None:
        dave = world.machines[3]
        await world.until(lambda: min(world.finalised()) >= 3, 20, "a start")
        await dave.crash()
        goal = world.best() + 8
        await world.until(lambda: min(world.finalised()) >= goal, 60, "finality without dave")
        state = world.machines[0].up.finality.round_state()
        silent = ss58.encode(dev_validator("Dave").grandpa)
        assert state["background"][0]["precommits"]["missing"] == [silent]
        await dave.start()
        goal = world.best() + 5
        await world.until(lambda: min(world.finalised()) >= goal, 60, "dave caught up")
        assert dave.up.finality.round_state()["voting"] == "yes"
        check_no_double_votes(*(machine.votes.content for machine in world.machines))

    run_world(tmp_path, NAMES, test)


def test_a_restart_of_all_nodes_at_once(tmp_path: Path) -> None:
    """The whole network crashes in the middle of rounds and goes on, without a second vote by any key."""

    async def test(world: World) -> None:
        for pause_s in (4.13, 3.27):
            await trio.sleep(pause_s)
            for machine in world.machines:
                await machine.crash()
            for machine in world.machines:
                await machine.start()
        goal = world.best() + 5
        await world.until(lambda: min(world.finalised()) >= goal, 60, "finality after the restarts")
        check_no_double_votes(*(machine.votes.content for machine in world.machines))

    run_world(tmp_path, NAMES, test)


def test_a_lost_vote_file_is_made_up_by_listening(tmp_path: Path) -> None:
    """A node that comes back without its votes asks the others first, and never contradicts what it had signed."""

    async def test(world: World) -> None:
        bob = world.machines[1]
        await world.until(lambda: min(world.finalised()) >= 4, 20, "a start")
        before = bob.votes.content
        await bob.crash()
        bob.votes.content = b""
        await bob.start()
        goal = world.best() + 5
        await world.until(lambda: min(world.finalised()) >= goal, 60, "finality with bob")
        votes = [r for r in records_of(bob) if r.kind in (RecordKind.PREVOTE, RecordKind.PRECOMMIT)]
        assert any(not record.learned for record in votes)
        check_no_double_votes(before, bob.votes.content)

    run_world(tmp_path, NAMES, test)


def test_a_partition_heals(tmp_path: Path) -> None:
    """Two halves finalise nothing; joined again, one chain wins and is finalised by all."""

    async def test(world: World) -> None:
        await world.until(lambda: min(world.finalised()) >= 3, 20, "a start")
        ids = [machine.up.ports.network.local_id for machine in world.machines]
        world.board.faults.part(set(ids[:2]), set(ids[2:]))
        await trio.sleep(2)
        stalled = max(world.finalised())
        await trio.sleep(15)
        assert max(world.finalised()) <= stalled + 1
        world.board.faults.cuts.clear()
        goal = world.best() + 3
        await world.until(lambda: min(world.finalised()) >= goal, 60, "finality after healing")

    run_world(tmp_path, NAMES, test)


def test_loss_and_delay_are_survived(tmp_path: Path) -> None:
    """With a fifth of all messages lost and others late or doubled, finality goes on."""

    async def test(world: World) -> None:
        faults = world.board.faults
        faults.loss, faults.duplicate, faults.delay_ms_max = 0.2, 0.2, 300
        await world.until(lambda: min(world.finalised()) >= 10, 120, "finality on bad wires")

    run_world(tmp_path, NAMES, test)


def test_a_key_put_in_while_running_votes(tmp_path: Path) -> None:
    """A validator without its gran key observes; inserted, the key votes without a restart."""

    async def test(world: World) -> None:
        alice = world.machines[0]
        pair = alice.keystore.pair(GRAN, dev_validator("Alice").grandpa)
        for path in alice.keystore.path.iterdir():
            if path.name.startswith(GRAN.hex()):
                path.unlink()
        await alice.crash()
        alice.keystore.reload()
        await alice.start()
        await trio.sleep(5)
        assert "no key" in alice.up.finality.round_state()["voting"]
        assert world.finalised() == [world.finalised()[0]]
        stalled = world.finalised()[0]
        alice.keystore.insert(GRAN, pair)
        await world.until(lambda: world.finalised()[0] > stalled + 3, 30, "finality with the key")

    run_world(tmp_path, ["Alice"], test)


def test_malformed_gossip_costs_reputation(tmp_path: Path) -> None:
    """Bytes that do not decode, and a message under another kind's number, are reported and change nothing."""

    async def test(world: World) -> None:
        alice, bob = world.machines
        assert bob.network is not None
        assert alice.network is not None
        for kind, data in (
            (Kind.VOTE, b"\x07nonsense"),
            (Kind.VOTE, GOSSIP.encode(Neighbour(1, 0, 0))),
            (Kind.JUSTIFICATION, b""),
        ):
            bob.network.notify(alice.network.local_id, kind, data)
        await world.until(lambda: len(alice.network.reports if alice.network else []) >= 3, 5, "three reports")
        await world.until(lambda: min(world.finalised()) >= 3, 30, "finality all the same")

    run_world(tmp_path, NAMES[:2], test)


@pytest.mark.parametrize("damage", [True, False])
def test_a_damaged_vote_file_makes_an_observer(tmp_path: Path, damage: bool) -> None:
    """A bad record in the middle: no vote and no block is signed. A torn last one: the node goes on."""

    async def test(world: World) -> None:
        (alice,) = world.machines
        await world.until(lambda: world.best() >= 4, 20, "a start")
        await alice.crash()
        log = bytearray(alice.votes.content)
        log[200 if damage else -20] ^= 0xFF
        alice.votes.content = bytes(log)
        await alice.start()
        best = world.best()
        await trio.sleep(10)
        assert (world.best() == best) == damage
        assert (alice.votes.content == bytes(log)) == damage

    run_world(tmp_path, ["Alice"], test)
