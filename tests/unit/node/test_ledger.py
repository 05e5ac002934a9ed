"""The best block's ledger: it follows the head, and judges a transaction as the next block will."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from node.keys.pair import Pair, from_uri
from pallets.processors.types import PairingProof, pairing_message
from runtime.address import Era
from runtime.errors import InvalidTransaction, Validity
from tests.helpers.chain_lab import BOB, CHARLIE, UNIT, Lab


def test_the_ledger_follows_the_best_block(tmp_path: Path) -> None:
    """Nonces are those after the best block, also when a fork takes it away again."""

    async def run() -> None:
        lab = Lab(tmp_path)
        ledger, genesis = lab.transactions.ledger, lab.chain.best.hash
        assert ledger.next_nonce(BOB.public) == 0
        await lab.import_made(genesis, lab.tick(), lab.sign(lab.transfer()))
        assert ledger.next_nonce(BOB.public) == 1
        other = await lab.import_made(genesis, lab.tick())
        await lab.import_made(other.hash(), lab.tick())
        assert ledger.next_nonce(BOB.public) == 0

    trio.run(run)


def test_an_era_may_begin_at_the_best_block(tmp_path: Path) -> None:
    """A transaction signed over the best block's hash is good at once, and holds up to the last block of its era."""

    async def run() -> None:
        lab = Lab(tmp_path)
        best = await lab.author_block()
        raw = lab.sign(lab.transfer(), 0, era=Era.mortal(16, 1), era_block_hash=best.hash())
        checked = lab.transactions.ledger.check(raw)
        assert checked.valid_till == 16
        assert lab.transactions.ledger.check(lab.sign(lab.transfer())).valid_till == (1 << 64) - 2

    trio.run(run)


def test_fee_and_tip_must_leave_the_minimum(tmp_path: Path) -> None:
    """The largest tip is what the account has less fee and existential deposit; one planck more is refused."""
    lab = Lab(tmp_path)
    ledger, runtime = lab.transactions.ledger, lab.look()
    call = lab.transfer()
    size = len(lab.sign(call, tip=10**17))
    weight = runtime.definition("Balances", "transfer_keep_alive").weight_ps
    fee = runtime.transaction_payment.fee(size, weight)
    most = runtime.balances.free(BOB.public) - fee - runtime.balances.existential_deposit
    assert len(lab.sign(call, tip=most)) == size
    assert ledger.check(lab.sign(call, tip=most)).priority > ledger.check(lab.sign(call, tip=UNIT)).priority
    with pytest.raises(InvalidTransaction) as refused:
        ledger.check(lab.sign(call, tip=most + 1))
    assert refused.value.code is Validity.PAYMENT
    trio.run(check_block, lab, lab.sign(call, tip=most))


def test_all_of_an_accounts_transactions_must_be_payable_together(tmp_path: Path) -> None:
    """Two that could each be paid alone, but not both, are not both taken; a cheaper second one is."""
    lab = Lab(tmp_path)
    half = lab.free(BOB) * 6 // 10
    lab.submit(lab.sign(lab.transfer(), 0, tip=half))
    with pytest.raises(InvalidTransaction, match="2 transactions are") as refused:
        lab.submit(lab.sign(lab.transfer(), 1, tip=half))
    assert refused.value.code is Validity.PAYMENT
    lab.submit(lab.sign(lab.transfer(), 1, tip=half // 2))
    assert len(lab.pool.entries) == 2


async def check_block(lab: Lab, raw: bytes) -> None:
    """The block agrees with the ledger."""
    await lab.import_made(lab.chain.best.hash, lab.tick(), raw)
    assert lab.look().system.accounts.get(BOB.public).nonce == 1


def test_a_call_that_no_block_can_hold_is_refused(tmp_path: Path) -> None:
    """A batch heavier than a whole block's normal share is told so at once, instead of waiting for ever."""
    lab = Lab(tmp_path)
    remark = lab.runtime.definition("Utility", "batch")(
        tuple(lab.runtime.definition("System", "remark_with_event")(b"") for _ in range(256))
    )
    batch = lab.call("Utility", "batch_all", tuple(remark for _ in range(80)))
    with pytest.raises(InvalidTransaction, match="at most") as refused:
        lab.submit(lab.sign(batch, 0, CHARLIE))
    assert refused.value.code is Validity.EXHAUSTS_RESOURCES


def test_what_a_sponsor_pays_needs_no_money_of_the_sender(tmp_path: Path) -> None:
    """A processor with the minimum only: its heartbeat is taken, and by the block; a tip or another call is refused."""
    lab = Lab(tmp_path)
    poor, slot_ms = from_uri("//poor"), lab.chain.slot_ms
    expires = lab.clock.now_ms() + 100 * slot_ms
    message = pairing_message(lab.chain.genesis_hash, poor.public, CHARLIE.public, 1, expires)
    proof = PairingProof(CHARLIE.public, 1, expires, int(CHARLIE.scheme), CHARLIE.sign(message))

    async def send(pair: Pair, nonce: int, pallet: str, name: str, *arguments: Any) -> None:
        lab.submit(lab.sign(lab.call(pallet, name, *arguments), nonce, pair))
        await lab.author_block()

    async def run() -> None:
        await send(BOB, 0, "Balances", "transfer_keep_alive", poor.public, UNIT)
        await send(poor, 0, "Processors", "register", 1)
        await send(poor, 1, "Processors", "pair", proof)
        await send(CHARLIE, 0, "Processors", "sponsor", UNIT)
        spare = lab.free(poor) - lab.look().balances.existential_deposit
        await send(CHARLIE, 1, "Processors", "recover_funds", poor.public, spare)
        ledger, beat = lab.transactions.ledger, lab.call("Processors", "heartbeat", 1)
        for call, tip in ((beat, 1), (lab.call("Processors", "delete_advertisement"), 0)):
            with pytest.raises(InvalidTransaction) as refused:
                ledger.check(lab.sign(call, 2, poor, tip=tip))
            assert refused.value.code is Validity.PAYMENT
        checked = ledger.check(lab.sign(beat, 2, poor))
        assert checked.spendable == lab.look().processors.sponsor_budget(CHARLIE.public) == UNIT
        before = lab.free(CHARLIE)
        await send(poor, 2, "Processors", "heartbeat", 1)
        assert lab.free(CHARLIE) == before - lab.look().processors.sponsors.get(CHARLIE.public).spent < before
        assert lab.look().system.accounts.get(poor.public).nonce == 3

    trio.run(run)
