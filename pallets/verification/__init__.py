"""Verification: how results are held against each other, shown, doubted and judged."""
