"""Images of any size through a network: by overlapping tiles, within a byte budget."""
