"""Strategies: the method (`nse`), its rivals, and the pure functions they are made of."""

from evospace.strategies import gradient, nse, one_shot, random_search, regularized_evolution, shrinking, spos

__all__ = ["gradient", "nse", "one_shot", "random_search", "regularized_evolution", "shrinking", "spos"]
