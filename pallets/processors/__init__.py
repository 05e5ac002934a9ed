"""Processors: who executes jobs, what they offer, and what they have promised."""
