"""The best block's accounts, as the pool asks for them."""

from __future__ import annotations

from node.chain import Chain
from node.pool import Checked, priority_of
from node.store.records import Head
from runtime.errors import InvalidTransaction, Validity
from runtime.extrinsic import Extrinsic
from runtime.heddle import Heddle
from runtime.validity import SignatureChecks, check_era, check_nonce, check_signable
from runtime.weight import BASE_EXTRINSIC_PS, BLOCK_BYTES_MAX, NORMAL_PERCENT, BlockBudget


class BestLedger:
    """Answers by the state of the best block, which it follows."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._runtime = chain.new_runtime()
        self._checks = SignatureChecks(self._runtime, chain.cache)
        self._head: Head | None = None
        budget = BlockBudget(chain.slot_ms)
        self._weight_max_ps = budget.normal_max_ps
        self._length_max = BLOCK_BYTES_MAX * NORMAL_PERCENT // 100

    def runtime(self) -> Heddle:
        """A runtime on the best block's state, as the block after it will see it."""
        head = self.chain.best
        if head != self._head:
            self.chain.at(head.hash, self._runtime)
            self._runtime.system.number = head.number + 1
            self._runtime.system.block_hashes.put(head.number, head.hash)
            self._head = head
        return self._runtime

    def next_nonce(self, account: bytes) -> int:
        return self.runtime().system.accounts.get(account).nonce

    def check(self, raw: bytes) -> Checked:
        """All checks that the executive makes, but a higher nonce may wait. Raises ScaleError, InvalidTransaction."""
        runtime = self.runtime()
        extrinsic = self.chain.cache.decode(raw, runtime)
        if extrinsic.signer is None:
            raise InvalidTransaction(Validity.CALL, "unsigned transactions are made by block authors only")
        check_signable(extrinsic.call.definition)
        next_nonce = check_nonce(runtime.system, extrinsic, allow_future=True)
        self._checks.check(extrinsic, check_era(runtime.system, extrinsic, runtime.system.number))
        weight_ps = extrinsic.call.weight_ps + BASE_EXTRINSIC_PS
        if weight_ps > self._weight_max_ps:
            raise InvalidTransaction(
                Validity.EXHAUSTS_RESOURCES, f"weight {weight_ps} ps, at most {self._weight_max_ps}"
            )
        cost, spendable = self._check_payment(runtime, extrinsic)
        priority = priority_of(extrinsic.tip, weight_ps, len(raw), self._weight_max_ps, self._length_max)
        valid_till = extrinsic.era.death(runtime.system.number) - 1
        return Checked(extrinsic, next_nonce, priority, valid_till, cost, spendable)

    def recheck(self, extrinsic: Extrinsic) -> None:
        runtime = self.runtime()
        check_era(runtime.system, extrinsic, runtime.system.number)
        self._check_payment(runtime, extrinsic)

    @staticmethod
    def _check_payment(runtime: Heddle, extrinsic: Extrinsic) -> tuple[int, int]:
        """(fee and tip, what the sender and its sponsor have for them). Raises InvalidTransaction(PAYMENT)."""
        assert extrinsic.signer is not None
        fee = extrinsic.tip
        if extrinsic.call.definition.pays_fee:
            fee += runtime.transaction_payment.fee(len(extrinsic.raw), extrinsic.call.weight_ps)
        free = runtime.balances.free(extrinsic.signer)
        if not extrinsic.tip:
            sponsor = runtime.processors.sponsor_of(extrinsic.signer, extrinsic.call.definition, fee)
            if sponsor is not None:
                own = max(0, free - runtime.balances.existential_deposit)
                return fee, own + runtime.processors.sponsor_budget(sponsor)
        if free - fee < runtime.balances.existential_deposit:
            raise InvalidTransaction(
                Validity.PAYMENT, f"fee and tip are {fee} planck, the account has {free} and must keep the minimum"
            )
        return fee, free - runtime.balances.existential_deposit
