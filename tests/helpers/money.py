"""Whether events explain money: what they say each account gained and lost, held against two states of the chain."""

from collections import Counter
from collections.abc import Iterable

from pallets.balances import TREASURY, Burned, Issued, Transfer
from pallets.escrow.events import BondPaid, FeeBurned, Fined, Forfeited, Paid
from pallets.juries.events import JurorSettled
from pallets.transaction_payment import AUTHOR_PERCENT, TransactionFeePaid
from tests.helpers.job_client import FinalState, JobClient


class Explained:
    """What events say of money, by account. One consumer pays for all jobs, one account authors all blocks.

    `changes` are those of balances, free and held together. They follow from the others: `fees` of transactions, what
    jobs `paid` and what of them was burned, what was `fined`, what verdicts took of bonds (`convicted`) and
    gave to `jurors` and to the payer (`compensated`).
    """

    def __init__(self, payer: bytes, author: bytes) -> None:
        self.payer, self.author = payer, author
        self.changes: Counter[bytes] = Counter()
        self.fees: Counter[bytes] = Counter()
        self.paid: Counter[bytes] = Counter()
        self.fined: Counter[bytes] = Counter()
        self.convicted: Counter[bytes] = Counter()
        self.jurors: Counter[bytes] = Counter()
        self.compensated: Counter[bytes] = Counter()
        self.burned: Counter[bytes] = Counter()
        self._given: Counter[bytes] = Counter()
        self._fire: Counter[bytes] = Counter()

    def hear(self, events: Iterable[object]) -> None:
        """Take in the events of one block: nothing is burned or given away that has no reason."""
        fees_before = self.fees.total()
        for event in events:
            match event:
                case TransactionFeePaid():
                    self.fees[event.who] += event.actual_fee
                    self.changes[event.who] -= event.actual_fee
                case Paid():
                    self.paid[event.to] += event.amount
                    self._move(self.payer, event.to, event.amount)
                case BondPaid() | Transfer():
                    self._give(event)
                case FeeBurned():
                    self._fire[self.payer] += event.amount
                case Fined():
                    self.fined[event.processor] += event.amount
                    self._fire[event.processor] += event.amount
                case Forfeited():
                    self.convicted[event.processor] += event.amount
                    self._fire[event.processor] += event.amount
                case JurorSettled():
                    assert not event.lost, event
                    self.jurors[event.processor] += event.paid
                case Burned():
                    self.burned[event.who] += event.amount
                    self.changes[event.who] -= event.amount
                case Issued():
                    raise AssertionError(f"nothing explains {event}")
        fees = self.fees.total() - fees_before
        self.changes[self.author] += fees * AUTHOR_PERCENT // 100
        self.changes[TREASURY] += fees - fees * AUTHOR_PERCENT // 100
        assert self.burned == self._fire
        assert self.jurors <= self._given
        self.compensated = self._given - self.jurors
        assert set(self.compensated) <= {self.payer}

    def _give(self, event: BondPaid | Transfer) -> None:
        """A verdict gives a part of the liar's bond, or of the treasury for what that does not cover."""
        source = event.processor if isinstance(event, BondPaid) else event.from_
        if isinstance(event, BondPaid):
            self.convicted[source] += event.amount
        else:
            assert source == TREASURY, event
        self._given[event.to] += event.amount
        self._move(source, event.to, event.amount)

    def _move(self, source: bytes, target: bytes, amount: int) -> None:
        self.changes[source] -= amount
        self.changes[target] += amount


def explained(client: JobClient, author: bytes, before: FinalState, after: FinalState) -> Explained:
    """What the events between two states say. AssertionError unless every balance and the issuance follow from it."""
    told = Explained(client.pair.public, author)
    for number in range(before.number + 1, after.number + 1):
        told.hear(client.block_events(number))
    accounts = {*before.accounts(), *after.accounts()}
    changes = {account: after.wealth(account) - before.wealth(account) for account in accounts}
    assert {account: change for account, change in changes.items() if change} == {
        account: change for account, change in told.changes.items() if change
    }
    assert before.issuance - after.issuance == told.burned.total()
    for state in (before, after):
        assert state.issuance == sum(state.wealth(account) for account in state.accounts())
    return told
