"""Published networks as their authors wrote them, one module each; importing registers them.

A new one is a module here and its name in the import below. spandrel is imported where it is used:
it loads some forty architectures, which takes seconds.
"""

from baselines.published import dat, dncnn, grl, hat, nafnet, scunet, swinir
from baselines.published.network import PublishedNetwork, open_published

__all__ = [
    "PublishedNetwork",
    "dat",
    "dncnn",
    "grl",
    "hat",
    "nafnet",
    "open_published",
    "scunet",
    "swinir",
]
