"""Loops that train: the supernet for a round, and one architecture on its own."""
