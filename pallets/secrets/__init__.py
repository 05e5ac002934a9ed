"""Secrets: values that a job's processors may read, and nobody else who reads the chain."""
