"""Where results go besides the chain."""
