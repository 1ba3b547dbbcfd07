"""Images of any size through a network: by overlapping tiles, within a byte budget."""

OVERLAP = 32  # pixels of the input
BYTE_BUDGET = 2 * 2**30
