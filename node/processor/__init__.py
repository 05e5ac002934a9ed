"""The processor: watches the chain and runs its jobs."""
