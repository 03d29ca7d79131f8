"""Networks trained from scratch or fine-tuned: what `evospace retrain` does."""
