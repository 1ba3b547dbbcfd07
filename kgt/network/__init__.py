"""The networks, their layers, and how images become windows of tokens."""
