"""The harness: trains, evaluates, measures and renders; nothing imports it."""
