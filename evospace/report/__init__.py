"""Pictures and progress for people."""
