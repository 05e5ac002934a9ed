"""The bond of a challenge: given back if the result was wrong or nobody knows, else it pays jury and processor."""

from pallets.balances import HoldReason
from pallets.juries.settlement import Fund, pay_from
from pallets.verification.errors import BondNotAvailable
from pallets.verification.store import VerificationStore
from pallets.verification.types import Challenge

PPM = 10**6


def lock(store: VerificationStore, who: bytes, reward: int) -> int:
    """Hold a challenger's bond: what the first jury costs, and a part of a reward. Raises BondNotAvailable."""
    parameters, balances = store.parameters.get(), store.balances
    amount = parameters.challenge_rewards * reward + reward * parameters.challenge_own_ppm // PPM
    if balances.free(who) - amount < balances.existential_deposit:
        raise BondNotAvailable
    balances.hold(who, HoldReason.CHALLENGE, amount)
    return amount


def give_back(store: VerificationStore, challenge: Challenge | None) -> None:
    """The challenge was right, or nobody knows."""
    if challenge is not None:
        store.balances.release(challenge.challenger, HoldReason.CHALLENGE, challenge.bond)


def burn(store: VerificationStore, challenge: Challenge) -> None:
    """The challenger did not show what it claimed to have. Paying the processor would make its own challenges free."""
    store.balances.burn_held(challenge.challenger, HoldReason.CHALLENGE, challenge.bond)


def lose(
    store: VerificationStore, panel: int, digest: bytes, challenge: Challenge | None, processor: bytes, fund: Fund
) -> None:
    """The result was right: the bond pays the jurors, then `fund`; the rest of it goes to the doubted processor."""
    if challenge is None:
        store.juries.settle(panel, digest, fund)
        return
    left = challenge.bond

    def pay(to: bytes, amount: int) -> int:
        nonlocal left
        paid = min(amount, left)
        store.escrow.credit_held(challenge.challenger, HoldReason.CHALLENGE, to, paid)
        left -= paid
        return paid

    store.juries.settle(panel, digest, lambda to, amount: pay_from((pay, fund), to, amount))
    store.escrow.credit_held(challenge.challenger, HoldReason.CHALLENGE, processor, left)
