"""Descriptions of models: NAME:field=value:field=value."""

from __future__ import annotations

from typing import Any, NamedTuple

from kgt.cli import read_value, split_model


class Description(NamedTuple):
    """A model's registry name and the fields that differ from its own.

    Attributes:
        name: of a registry, e.g. "kgt-tiny-x4".
        given: (field, value as it is written), in order.
    """

    name: str
    given: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Description:
        """Read a description; "spandrel:" may precede the name.

        Raises:
            ValueError: for a field without a value.
        """
        return cls(*split_model(text.removeprefix("spandrel:")))

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{field}={value}" for field, value in self.given)])

    @property
    def fields(self) -> dict[str, Any]:
        """The given values by field."""
        return {field: read_value(value) for field, value in self.given}

    @property
    def network(self) -> str:
        """The name without a wrapper's: "kgt-tiny-deblur" of deconvolved-kgt-tiny-deblur."""
        return self.name.removeprefix("deconvolved-")

    @property
    def family(self) -> str:
        """The first part of the network's name: "kgt" of kgt-tiny-x4."""
        return self.network.partition("-")[0]

    @property
    def size(self) -> str:
        """The second part of the network's name, if it has one: "tiny" of kgt-tiny-x4."""
        return self.network.partition("-")[2].partition("-")[0]

    @property
    def rebuilds_graphs(self) -> bool:
        """Whether every layer builds a graph of its own, where a stage shares one else."""
        return ("graph_scope", "layer") in self.given

    def shared_graphs(self) -> Description:
        """The same network with one graph per stage."""
        return self._replace(given=tuple(g for g in self.given if g[0] != "graph_scope"))

    def rebuilt_graphs(self) -> Description:
        """The same network with a graph per layer."""
        return self._replace(given=(*self.shared_graphs().given, ("graph_scope", "layer")))

    def of_family(self, family: str) -> Description:
        """The network of the same size and task of another family."""
        return self._replace(name=self.name.replace(self.family, family, 1))
