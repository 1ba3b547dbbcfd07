"""What a restoration task is: its degradation, and the protocols that score it."""
