"""Matching: which processor gets which slot (spec/job-layer.md §4)."""
