"""Pictures: files that are read and written with their metadata; libvips is loaded when used."""

from typing import TYPE_CHECKING

from kgt.lazy import find_in

if TYPE_CHECKING:
    from kgt.pictures.picture import Picture

__all__ = ["Picture"]
__getattr__ = find_in(__name__, {"Picture": "picture"})
