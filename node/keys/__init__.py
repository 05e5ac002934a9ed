"""Keys: secrets of the node and of wallets, from their text form to signatures, and where they lie on disk."""
