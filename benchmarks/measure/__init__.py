"""Time, memory and cost of attention and networks, and the state of the machine."""
