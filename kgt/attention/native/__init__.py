"""Operators in C++ for a CPU, compiled at first use."""

from kgt.attention.native.loader import NativeUnavailableError, load_operators, unavailable_reason

__all__ = ["NativeUnavailableError", "load_operators", "unavailable_reason"]
