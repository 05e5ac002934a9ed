"""The deterministic world: types, codec, pallet API, state, executive. No I/O, no clock, no threads."""
