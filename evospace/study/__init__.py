"""Strategies compared over the size of the space, ablations, and the trust in a supernet's ranking."""
