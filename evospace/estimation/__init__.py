"""Who says how good an architecture is."""
