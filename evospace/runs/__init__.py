"""The run directory: everything that happened, readable without the program."""
