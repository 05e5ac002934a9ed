"""Errors of Escrow."""

from runtime.errors import PalletError


class DepositNotAvailable(PalletError):
    """The payer cannot lock the job's deposit and keep the existential deposit."""

    index = 0


class BondNotAvailable(PalletError):
    """The processor cannot lock the slot's bond and keep the existential deposit."""

    index = 1


ERRORS = (DepositNotAvailable, BondNotAvailable)
