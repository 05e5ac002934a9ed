"""Escrow: the money of jobs, held on payers and processors, and the only code that moves it."""
