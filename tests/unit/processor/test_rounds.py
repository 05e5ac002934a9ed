"""What a processor does for results that others judge: commit, reveal when it is safe, deliver when it is accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from pallets.balances import HoldReason
from pallets.jobs.destinations import Chain, Webhook
from pallets.jobs.failure import NoAgreement
from pallets.jobs.records import ExecutionState, JobFailed, JobState
from pallets.jobs.types import Capabilities, JobSpec, OwnerAccept, Quorum, Reexecution
from pallets.verification.events import LateRevealed
from pallets.verification.types import RoundState
from tests.helpers.chain_lab import UNIT
from tests.helpers.processor_lab import Colleague, ProcessorLab

HOOK = "http://example.com/hook"
RIGHT, WRONG = b"the result", b"a lie"
NAMES = ("Bob", "Charlie", "Dave", "Eve", "Ferdie")
Test = Callable[[ProcessorLab, trio.Nursery], Awaitable[None]]


def with_colleagues(test: Test, folder: Path, *outputs: bytes, challenge_ppm: int = 0) -> None:
    """Run a test on a lab where processors with these outputs are at work; the lab's own is not."""

    async def run() -> None:
        lab = ProcessorLab(folder)
        lab.awake = False
        for name, output in zip(NAMES, outputs, strict=False):
            lab.colleagues.append(Colleague(lab, name, output, challenge_ppm=challenge_ppm))
        async with lab.working() as nursery:
            await lab.look_around(nursery)
            await lab.blocks_until(nursery, lambda: all(is_advertised(lab, one) for one in lab.colleagues))
            await test(lab, nursery)

    trio.run(run)


def is_advertised(lab: ProcessorLab, colleague: Colleague) -> bool:
    """Whether the chain lists a processor with an advert and a stake."""
    processors = lab.look().processors
    return bool(processors.adverts.contains(colleague.pair.public) and processors.units(colleague.pair.public))


def quorum(lab: ProcessorLab, slots: int = 2, agreeing: int = 2, **fields: Any) -> JobSpec:
    """A job whose results are compared."""
    return lab.spec(slots=slots, verification=Quorum(agreeing), **fields)


def states(lab: ProcessorLab) -> list[ExecutionState]:
    """The states of execution 0 on each slot of job 0."""
    found = [lab.look().jobs.executions.find((0, number, 0)) for number in range(lab.look().jobs.job(0).slots)]
    return [record.state for record in found if record is not None]


def in_round(lab: ProcessorLab, state: RoundState) -> bool:
    """Whether the round of execution 0 of job 0 is in a state."""
    found = lab.look().verification.rounds.find((0, 0, 0))
    return found is not None and found.state is state


def sent(lab: ProcessorLab) -> list[str]:
    """The calls of all processors in the pool, by name."""
    calls = [entry.extrinsic.call.definition for entry in lab.pool.entries.values()]
    return sorted(f"{call.pallet}.{call.name}" for call in calls)


def test_equal_results_are_committed_revealed_and_accepted(tmp_path: Path) -> None:
    """Two processors with one result: both are paid, and their journals are empty at the end."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(quorum(lab))
        await lab.blocks_until(nursery, lambda: lab.look().jobs.jobs.contains(0) and lab.state() is JobState.DONE)
        assert states(lab) == [ExecutionState.ACCEPTED] * 2
        assert {lab.look().jobs.results.get((0, slot, 0)).output.data for slot in range(2)} == {RIGHT}
        assert lab.execution().paid > 0
        await lab.block(nursery)
        for colleague in lab.colleagues:
            assert len(colleague.runs.started) == 1
            assert list(colleague.journal.keys()) == []
            assert lab.look().balances.held(colleague.pair.public, HoldReason.BOND) == 0

    with_colleagues(test, tmp_path, RIGHT, RIGHT)


def test_nothing_is_shown_before_the_close_of_commitments_is_final(tmp_path: Path) -> None:
    """While the block with the last commitment may be retracted, the results stay here; then both are revealed."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(quorum(lab))
        await lab.blocks_until(nursery, lambda: states_or_none(lab) == [ExecutionState.RUNNING] * 2)
        await lab.blocks_until(nursery, lambda: in_round(lab, RoundState.REVEALING), final=False)
        for _ in range(8):
            await lab.block(nursery, final=False)
        assert states(lab) == [ExecutionState.COMMITTED] * 2
        assert sent(lab) == []
        lab.finalise()
        await lab.look_around(nursery)
        assert sent(lab) == ["Verification.reveal"] * 2

    with_colleagues(test, tmp_path, RIGHT, RIGHT)


def states_or_none(lab: ProcessorLab) -> list[ExecutionState]:
    """`states`, also before the job is there."""
    return states(lab) if lab.look().jobs.jobs.contains(0) else []


def test_a_crash_between_commitment_and_reveal_costs_nothing(tmp_path: Path) -> None:
    """A new process on the same disk opens the commitment of the old one, without a second run."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(quorum(lab))
        await lab.blocks_until(nursery, lambda: in_round(lab, RoundState.REVEALING))
        first = lab.colleagues[0]
        first.start_again()
        await lab.blocks_until(nursery, lambda: lab.state() is JobState.DONE)
        assert states(lab) == [ExecutionState.ACCEPTED] * 2
        assert first.runs.started == []

    with_colleagues(test, tmp_path, RIGHT, RIGHT)


def test_a_processor_that_was_away_recovers_its_bond_late(tmp_path: Path) -> None:
    """Two of three are enough; the third comes back after the reveals, opens its commitment, and has its bond again."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(quorum(lab, slots=3))
        await lab.blocks_until(nursery, lambda: states_or_none(lab) == [ExecutionState.COMMITTED] * 3)
        away = lab.colleagues[2]
        away.awake = False
        lab.clock.time_ms += 1_000
        for _ in range(200):
            if lab.state() is JobState.DONE:
                break
            await lab.block(nursery)
        assert sorted(state.name for state in states(lab)) == ["ACCEPTED", "ACCEPTED", "REJECTED"]
        assert lab.look().balances.held(away.pair.public, HoldReason.BOND) == 24 * UNIT
        away.awake = True
        await lab.blocks_until(nursery, lambda: not lab.look().balances.held(away.pair.public, HoldReason.BOND))
        assert any(isinstance(event, LateRevealed) for event in events(lab))
        await lab.block(nursery)
        assert list(away.journal.keys()) == []

    with_colleagues(test, tmp_path, RIGHT, RIGHT, RIGHT)


def events(lab: ProcessorLab) -> list[Any]:
    """All events of the best block's chain."""
    found: list[Any] = []
    head, codec = lab.chain.best.hash, lab.look().system.events_value.codec
    for number in range(1, lab.chain.best.number + 1):
        raw = lab.store.events(lab.store.ancestor(head, number))
        found += [record.event for record in (codec.decode(raw) if raw else ())]
    return found


def test_a_liar_in_a_quorum_is_convicted_by_jurors(tmp_path: Path) -> None:
    """Two results differ: three others run it again and agree; the liar loses its bond, the honest one is paid."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(quorum(lab))
        liar = await until_assigned(lab, nursery)
        supply = lab.look().balances.total_issuance()
        await until_done(lab, nursery)
        assert sorted(state.name for state in states(lab)) == ["ACCEPTED", "REJECTED"]
        number = states(lab).index(ExecutionState.ACCEPTED)
        assert lab.look().jobs.results.get((0, number, 0)).output.data == RIGHT
        assert lab.look().reputation.score(liar.pair.public, lab.look().jobs.job(0).runtime) < 100_000
        assert lab.look().balances.total_issuance() < supply - 10 * UNIT
        for colleague in lab.colleagues:
            assert lab.look().balances.held(colleague.pair.public, HoldReason.BOND) == 0
            assert lab.look().balances.held(colleague.pair.public, HoldReason.JUROR) == 0
            assert list(colleague.journal.checks()) == []

    async def until_assigned(lab: ProcessorLab, nursery: trio.Nursery) -> Colleague:
        await lab.blocks_until(nursery, lambda: states_or_none(lab) == [ExecutionState.SCHEDULED] * 2)
        holder = lab.look().jobs.slot(0, 1).processor
        (liar,) = (one for one in lab.colleagues if one.pair.public == holder)
        liar.runs.output = WRONG
        return liar

    with_colleagues(test, tmp_path, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT)


async def until_done(lab: ProcessorLab, nursery: trio.Nursery, blocks: int = 700) -> None:
    """Blocks until job 0 has ended."""
    for _ in range(blocks):
        if lab.state() is JobState.DONE:
            await lab.block(nursery)
            return
        await lab.block(nursery)
    raise AssertionError(f"not done within {blocks} blocks: {states(lab)}")


@pytest.mark.parametrize("output", [RIGHT, WRONG])
def test_a_challenger_objects_to_wrong_results_alone(tmp_path: Path, output: bytes) -> None:
    """It runs what was reported again: the same is left alone, another is challenged, and jurors convict the liar."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(lab.spec(verification=Reexecution(700_000)))
        await lab.blocks_until(nursery, lambda: states_or_none(lab) == [ExecutionState.SCHEDULED])
        holder = lab.look().jobs.slot(0, 0).processor
        (worker,) = (one for one in lab.colleagues if one.pair.public == holder)
        worker.runs.output = output
        await until_done(lab, nursery, 900)
        names = [type(event).__name__ for event in events(lab)]
        assert ("Challenged" in names) is (output == WRONG)
        expected = ExecutionState.ACCEPTED if output == RIGHT else ExecutionState.REJECTED
        assert states(lab) == [expected]
        for colleague in lab.colleagues:
            assert lab.look().balances.held(colleague.pair.public, HoldReason.CHALLENGE) == 0

    with_colleagues(test, tmp_path, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, challenge_ppm=10**6)


@pytest.mark.parametrize("readable", [True, False], ids=["gone", "unreadable"])
def test_a_jury_that_cannot_have_the_tape_hangs_and_costs_nobody_a_bond(tmp_path: Path, readable: bool) -> None:
    """A challenge, then the tape is gone: nobody claims a seat, the payer is refunded and every bond comes back.

    A disk that fails to read it is the same to a juror, and ends no processor.
    """

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        granted = Capabilities(("example.com",), (), storage=False, sign=False)
        lab.register(lab.spec(verification=Reexecution(700_000), capabilities=granted))
        await lab.blocks_until(nursery, lambda: states_or_none(lab) == [ExecutionState.SCHEDULED])
        holder = lab.look().jobs.slot(0, 0).processor
        (worker,) = (one for one in lab.colleagues if one.pair.public == holder)
        worker.runs.output = WRONG
        before = {one.pair.public: lab.look().processors.stake_of(one.pair.public) for one in lab.colleagues}
        for _ in range(900):
            if "Verification.reveal_challenge" in sent(lab):
                break
            await lab.block(nursery)
        tape = lab.look().verification.entries.get((0, 0, 0)).outcome.tape
        lab.blobs.store.path(tape.cid).unlink()
        if not readable:
            lab.blobs.store.path(tape.cid).mkdir()
        await until_done(lab, nursery, 900)
        names = [type(event).__name__ for event in events(lab)]
        assert "Challenged" in names
        assert "SeatClaimed" not in names
        assert lab.look().jobs.job(0).end == JobFailed(NoAgreement())
        for who, stake in before.items():
            balances = lab.look().balances
            reasons = (HoldReason.BOND, HoldReason.CHALLENGE, HoldReason.JUROR)
            assert [balances.held(who, reason) for reason in reasons] == [0, 0, 0]
            assert lab.look().processors.stake_of(who) == stake
        assert not {"Forfeited", "BondPaid", "Fined"} & set(names)

    with_colleagues(test, tmp_path, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, challenge_ppm=10**6)


@pytest.mark.parametrize("mode", [Quorum(2), OwnerAccept(20_000)], ids=["quorum", "owner"])
def test_one_processor_delivers_after_the_judgment(tmp_path: Path, mode: Any) -> None:
    """Nothing leaves before it is accepted; then one delivery, whose receipt is on chain."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        slots = 2 if isinstance(mode, Quorum) else 1
        lab.register(lab.spec(slots=slots, verification=mode, destinations=(Chain(), Webhook(HOOK))))
        await lab.blocks_until(nursery, lambda: lab.look().jobs.jobs.contains(0))
        for _ in range(100):
            if lab.state() is JobState.DONE:
                break
            assert not any(one.deliveries for one in lab.colleagues)
            await lab.block(nursery)
        for _ in range(3):
            await lab.block(nursery)
        (delivery,) = [delivery for one in lab.colleagues for delivery in one.deliveries]
        assert delivery[0] == HOOK
        (receipt,) = [one for slot in range(slots) for one in lab.look().jobs.results.get((0, slot, 0)).deliveries]
        assert receipt.destination == 1
        assert all(list(one.journal.keys()) == [] for one in lab.colleagues)

    with_colleagues(test, tmp_path, RIGHT, RIGHT)


def test_the_next_one_delivers_when_the_first_is_silent(tmp_path: Path) -> None:
    """The processor of the lowest slot is gone after its reveal: a turn later the other one delivers."""

    async def test(lab: ProcessorLab, nursery: trio.Nursery) -> None:
        lab.register(quorum(lab, destinations=(Webhook(HOOK),)))
        await lab.blocks_until(nursery, lambda: in_round(lab, RoundState.REVEALING))
        holder = lab.look().jobs.slot(0, 0).processor
        (first,) = (one for one in lab.colleagues if one.pair.public == holder)
        (second,) = (one for one in lab.colleagues if one is not first)
        first.refusals = 1_000
        await until_done(lab, nursery)
        assert second.deliveries == []
        for _ in range(110):
            await lab.block(nursery)
        assert len(first.deliveries) == 3
        assert len(second.deliveries) == 1
        assert {identity for _, identity, _ in first.deliveries} == {second.deliveries[0][1]}

    with_colleagues(test, tmp_path, RIGHT, RIGHT)
