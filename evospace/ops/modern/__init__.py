"""The operations of the pool `modern`: which there are (no torch), and a module per few families (torch)."""
