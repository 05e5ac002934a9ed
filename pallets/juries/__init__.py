"""Juries: processors drawn by lot that repeat an execution and say what its digest is."""
