"""Aura slots, fork choice, GRANDPA and the vote file's rules: state machines without I/O.

Time, signatures, randomness and blocks come in as arguments; what is to be done goes out as actions.
"""
