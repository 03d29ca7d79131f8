"""Writes a module tree as one Python file that needs nothing but PyTorch."""
