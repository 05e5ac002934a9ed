"""The network port and its implementation over libp2p. Only the libp2p modules import libp2p: `port` stays light."""
