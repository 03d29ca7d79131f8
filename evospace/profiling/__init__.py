"""Latency measured on the user's device: a table of operations, and the check that it predicts whole networks."""
