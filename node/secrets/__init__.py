"""Secrets off chain: what is sealed, what is opened, and what must not be seen of it."""
