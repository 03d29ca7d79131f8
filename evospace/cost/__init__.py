"""What an architecture costs: tables, budgets, latencies."""
