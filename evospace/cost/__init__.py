"""What an architecture costs: tables, budgets, reachable ranges."""
