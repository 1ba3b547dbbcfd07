"""Pictures: files that are read and written with their metadata."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgt.pictures.picture import Picture

__all__ = ["Picture"]


def __getattr__(name: str) -> Any:
    """Load libvips when pictures are first asked for."""
    if name == "Picture":
        from kgt.pictures.picture import Picture

        return Picture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
