"""What a block may contain: specs and pools (no torch), modules and `build_op` (torch)."""
