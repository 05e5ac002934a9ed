"""The GRANDPA finality gadget: vote graph, rounds, and the voter that drives them."""
