"""What one step of a supernet's training does, for each strategy: a file each."""
