"""Ground floor: what a cell, a metric and a record are, and where they were measured."""
