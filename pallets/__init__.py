"""The rules of the chain, one pallet per file (a package where it is big)."""
