"""Equivocations that a node notices end in a block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from consensus import aura
from consensus.grandpa.messages import EquivocationProof, Prevote, signing_payload
from node.keys.pair import dev_pair
from pallets.offences import OffenceKind
from runtime.errors import BlockFault, InvalidBlock
from runtime.types import Block
from tests.sim.world import World, living, simulate

NAMES = ["Alice", "Bob", "Charlie", "Dave"]


def offences(world: World) -> list[tuple[OffenceKind, int]]:
    """(kind, round or slot) of the offences in the final state of the first node."""
    chain = world.machines[0].up.chain
    found = chain.at(chain.finalised.hash).offences.offences.items()
    return sorted(((offence.kind, offence.at) for _, offence in found), key=lambda pair: pair[0].value)


def two_votes(name: str, round_number: int) -> EquivocationProof:
    """A voter's prevotes for two blocks in one round."""
    pair = dev_pair(name)
    messages = [Prevote(bytes((mark,)) * 32, 7) for mark in (1, 2)]
    first, second = (pair.sign(signing_payload(message, round_number, 0)) for message in messages)
    return EquivocationProof(0, round_number, pair.public, messages[0], first, messages[1], second)


def test_reported_votes_are_proved_on_chain(tmp_path: Path) -> None:
    """A proof given to two authors is recorded once; a report that is no offence costs nobody a block."""

    async def main() -> None:
        async with living(1, NAMES, tmp_path) as world:
            await world.until(lambda: min(world.finalised()) >= 2, 20, "a start")
            proof = two_votes("Dave", 3)
            same = EquivocationProof(0, 4, proof.voter, *(proof.first, proof.first_signature) * 2)
            for machine in world.machines[:2]:
                machine.up.finality.on_equivocation(proof)
                machine.up.finality.on_equivocation(proof)
                machine.up.finality.on_equivocation(same)
            await world.until(lambda: offences(world) != [], 30, "the offence on chain")
            goal = world.best() + 12
            await world.until(lambda: min(world.finalised()) >= goal, 60, "blocks go on")
            assert offences(world) == [(OffenceKind.PREVOTE, 3)]

    simulate(main)


def test_two_headers_of_a_slot_are_noticed_and_proved(tmp_path: Path) -> None:
    """A second header by one author for one slot, seen before the first is final, becomes a report in a block."""

    async def main() -> None:
        async with living(1, NAMES, tmp_path) as world:
            await world.until(lambda: min(world.finalised()) >= 3, 20, "a start")
            ids = [machine.up.ports.network.local_id for machine in world.machines]
            world.board.faults.part(set(ids[:2]), set(ids[2:]))
            await trio.sleep(2)
            witness = world.machines[0]
            chain = witness.up.chain
            await world.until(lambda: (chain.header(chain.best.hash).slot() or 0) % 4 == 1, 20, "a block of Bob")
            header = chain.header(chain.best.hash)
            slot = header.slot()
            assert slot is not None
            body = chain.store.body(header.hash())
            assert body is not None
            changed = replace(header.unsealed()[0], state_root=bytes(32))
            second = aura.seal(changed, dev_pair("Bob").sign(changed.hash()))
            with pytest.raises(InvalidBlock) as refused:
                await chain.import_block(Block(second, tuple(body)))
            assert refused.value.fault is BlockFault.STATE_ROOT
            world.board.faults.cuts.clear()
            await world.until(lambda: offences(world) != [], 60, "the offence on chain")
            assert offences(world) == [(OffenceKind.AUTHORING, slot)]

    simulate(main)
