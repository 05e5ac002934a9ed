"""Balances against a model in plain dictionaries: every operation, its refusals, and the invariant after each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pallets.balances import BALANCE_MAX, EXISTENTIAL_DEPOSIT, Balances, HoldReason
from pallets.system import System
from runtime.errors import ArithmeticFailed, InvariantBroken, TokenError, TokenErrorKind
from runtime.hashing import blake2b256
from runtime.runtime import Runtime, new_registry
from runtime.state import State

ED = EXISTENTIAL_DEPOSIT
ACCOUNTS = [blake2b256(bytes((number,))) for number in range(4)]
REASONS = list(HoldReason)

accounts = st.sampled_from(ACCOUNTS)
reasons = st.sampled_from(REASONS)
amounts = st.sampled_from([0, 1, ED - 1, ED, ED + 1, 2 * ED, 3 * ED, 5 * ED, 8 * ED, 10**40])


def new_balances() -> Balances:
    """System and Balances over an empty state."""
    state, registry = State(), new_registry()
    system = System(state, registry)
    balances = Balances(state, registry, system)
    Runtime(state, registry, [system, balances])
    return balances


class Refused(Exception):
    """The model refuses, for the reason that the pallet must give."""

    def __init__(self, kind: TokenErrorKind) -> None:
        super().__init__(kind.name)
        self.kind = kind


class Model:
    """Free and held amounts by account, and who has signed before."""

    def __init__(self) -> None:
        self.free = dict.fromkeys(ACCOUNTS, 0)
        self.held = {(who, reason): 0 for who in ACCOUNTS for reason in REASONS}
        self.nonce = dict.fromkeys(ACCOUNTS, 0)

    def reserved(self, who: bytes) -> int:
        return sum(self.held[who, reason] for reason in REASONS)

    def total(self) -> int:
        return sum(self.free.values()) + sum(self.held.values())

    def require(self, condition: bool, kind: TokenErrorKind) -> None:
        if not condition:
            raise Refused(kind)

    def leave(self, who: bytes, left: int) -> None:
        """A free balance of `left`; below the minimum it is dust, which an account with holds may not become."""
        if left < ED:
            self.require(self.reserved(who) == 0, TokenErrorKind.FROZEN)
            left = 0
        self.free[who] = left

    def transfer(self, source: bytes, target: bytes, amount: int, keep_alive: bool) -> None:
        self.require(self.free[source] >= amount, TokenErrorKind.FUNDS_UNAVAILABLE)
        if source == target:
            return
        self.require(self.free[target] + amount >= ED, TokenErrorKind.BELOW_MINIMUM)
        left = self.free[source] - amount
        self.require(left >= ED or not keep_alive, TokenErrorKind.NOT_EXPENDABLE)
        self.leave(source, left)
        self.free[target] += amount

    def hold(self, who: bytes, reason: HoldReason, amount: int) -> None:
        self.require(not amount or self.free[who] - amount >= ED, TokenErrorKind.FUNDS_UNAVAILABLE)
        self.free[who] -= amount
        self.held[who, reason] += amount

    def take(self, who: bytes, reason: HoldReason, amount: int) -> None:
        self.require(self.held[who, reason] >= amount, TokenErrorKind.FUNDS_UNAVAILABLE)
        self.held[who, reason] -= amount

    def release(self, who: bytes, reason: HoldReason, amount: int) -> None:
        self.take(who, reason, amount)
        self.free[who] += amount

    def transfer_held(self, source: bytes, reason: HoldReason, target: bytes, amount: int) -> None:
        if source != target and amount:
            self.require(self.free[target] + amount >= ED, TokenErrorKind.BELOW_MINIMUM)
        self.take(source, reason, amount)
        self.free[target] += amount

    def issue(self, who: bytes, amount: int) -> None:
        self.require(self.free[who] + amount >= ED, TokenErrorKind.BELOW_MINIMUM)
        self.free[who] += amount

    def burn(self, who: bytes, amount: int) -> None:
        self.require(self.free[who] >= amount, TokenErrorKind.FUNDS_UNAVAILABLE)
        self.leave(who, self.free[who] - amount)


class BalancesMachine(RuleBasedStateMachine):
    """Runs each operation on the pallet and on the model; both must succeed alike or be refused alike."""

    def __init__(self) -> None:
        super().__init__()
        self.balances = new_balances()
        self.model = Model()
        for who in ACCOUNTS[:2]:
            self.balances.issue(who, 10 * ED)
            self.model.issue(who, 10 * ED)

    def both(self, real: Callable[[], None], expected: Callable[[], None]) -> None:
        """One operation, rolled back when it is refused, as a failed dispatch is."""
        state = self.balances.system.state
        free, held = dict(self.model.free), dict(self.model.held)
        mark = state.mark()
        should, did = self.refusal(expected), self.refusal(real)
        assert did is should
        if did is not None:
            state.rollback(mark)
            self.model.free, self.model.held = free, held

    @staticmethod
    def refusal(operation: Callable[[], None]) -> TokenErrorKind | None:
        """Why an operation is refused; None if it is done."""
        try:
            operation()
        except (Refused, TokenError) as error:
            return error.kind
        return None

    @rule(source=accounts, receiver=accounts, amount=amounts, keep_alive=st.booleans())
    def transfer(self, source: bytes, receiver: bytes, amount: int, keep_alive: bool) -> None:
        self.both(
            lambda: self.balances.transfer(source, receiver, amount, keep_alive=keep_alive),
            lambda: self.model.transfer(source, receiver, amount, keep_alive),
        )

    @rule(who=accounts, reason=reasons, amount=amounts)
    def hold(self, who: bytes, reason: HoldReason, amount: int) -> None:
        self.both(lambda: self.balances.hold(who, reason, amount), lambda: self.model.hold(who, reason, amount))

    @rule(who=accounts, reason=reasons, amount=amounts)
    def release(self, who: bytes, reason: HoldReason, amount: int) -> None:
        self.both(lambda: self.balances.release(who, reason, amount), lambda: self.model.release(who, reason, amount))

    @rule(source=accounts, reason=reasons, receiver=accounts, amount=amounts)
    def transfer_held(self, source: bytes, reason: HoldReason, receiver: bytes, amount: int) -> None:
        self.both(
            lambda: self.balances.transfer_held(source, reason, receiver, amount),
            lambda: self.model.transfer_held(source, reason, receiver, amount),
        )

    @rule(who=accounts, reason=reasons, amount=amounts)
    def burn_held(self, who: bytes, reason: HoldReason, amount: int) -> None:
        self.both(lambda: self.balances.burn_held(who, reason, amount), lambda: self.model.take(who, reason, amount))

    @rule(who=accounts, amount=amounts.filter(lambda amount: amount < 10**40))
    def issue(self, who: bytes, amount: int) -> None:
        self.both(lambda: self.balances.issue(who, amount), lambda: self.model.issue(who, amount))

    @rule(who=accounts, amount=amounts)
    def burn(self, who: bytes, amount: int) -> None:
        self.both(lambda: self.balances.burn(who, amount), lambda: self.model.burn(who, amount))

    @rule(who=accounts)
    def sign(self, who: bytes) -> None:
        """The account pays for a transaction of its own, without a fee."""
        if self.model.free[who] >= ED:
            self.balances.system.charge(who, 0)
            self.model.nonce[who] += 1

    @invariant()
    def agrees(self) -> None:
        """Every amount, the issuance, the pallet's own invariant, and who still has an entry."""
        balances, model = self.balances, self.model
        balances.check_state()
        assert balances.total_issuance() == model.total()
        for who in ACCOUNTS:
            assert balances.free(who) == model.free[who]
            assert [balances.held(who, reason) for reason in REASONS] == [model.held[who, r] for r in REASONS]
            info = balances.system.accounts.find(who)
            assert (0 if info is None else info.nonce) == model.nonce[who]
            lives = model.free[who] or model.reserved(who) or model.nonce[who]
            assert (info is not None) == bool(lives)


BalancesMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestBalances = BalancesMachine.TestCase
TestBalances.__doc__ = "Any sequence of operations gives the amounts, refusals and entries that the model gives."


def test_nothing_is_issued_beyond_u128() -> None:
    """Issuing past 2^128 - 1 planck fails as Arithmetic and issues nothing."""
    balances = new_balances()
    balances.issue(ACCOUNTS[0], BALANCE_MAX - ED)
    with pytest.raises(ArithmeticFailed):
        balances.issue(ACCOUNTS[1], ED + 1)
    assert balances.total_issuance() == balances.free(ACCOUNTS[0]) == BALANCE_MAX - ED
    balances.check_state()


def test_a_reaped_account_that_signed_keeps_its_nonce() -> None:
    """Its entry stays with nothing but the nonce, so that no old transaction holds again when it is funded anew."""
    balances = new_balances()
    balances.issue(ACCOUNTS[0], 5 * ED)
    balances.system.charge(ACCOUNTS[0], ED)
    balances.transfer(ACCOUNTS[0], ACCOUNTS[1], 4 * ED, keep_alive=False)
    info = balances.system.accounts.find(ACCOUNTS[0])
    assert info is not None
    assert (info.nonce, info.data.free) == (1, 0)
    balances.transfer(ACCOUNTS[1], ACCOUNTS[0], ED, keep_alive=False)
    assert balances.system.accounts.get(ACCOUNTS[0]).nonce == 1


@pytest.mark.parametrize("what", ["issuance", "holds", "dust"])
def test_a_broken_invariant_is_noticed(what: str) -> None:
    """check_state finds issuance that does not add up, holds that are not reserved, and balances below the minimum."""
    balances = new_balances()
    balances.issue(ACCOUNTS[0], 5 * ED)
    balances.hold(ACCOUNTS[0], HoldReason.BOND, ED)
    if what == "issuance":
        balances.issuance.put(5 * ED + 1)
    elif what == "holds":
        balances.holds.remove(ACCOUNTS[0])
    else:
        data = balances.system.accounts.get(ACCOUNTS[0]).data
        balances.system.set_data(ACCOUNTS[0], type(data)(1, data.reserved, data.frozen, data.flags))
        balances.issuance.put(ED + 1)
    with pytest.raises(InvariantBroken):
        balances.check_state()
