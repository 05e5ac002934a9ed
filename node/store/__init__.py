"""Blocks and states on disk. Start at `startup.py` (create, open) and `store.py` (everything else)."""
