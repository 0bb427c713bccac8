"""From corrections to a better model: split, replay, learn, gate, versions."""
