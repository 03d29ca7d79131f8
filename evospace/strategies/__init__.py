"""Strategies: the method (`space_evolution`), and the pure functions it is made of."""
