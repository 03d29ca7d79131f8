"""Trained networks on test images: what `evospace evaluate` does."""
