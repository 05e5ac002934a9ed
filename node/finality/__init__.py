"""Finality in a node: the vote file, and the task that drives the voter over network, store and clock."""
