"""Everything of a node that touches the world: store, network, clock, RPC, processes."""
