"""The `heddle` command. It sits on top: it may import everything, nothing imports it."""
