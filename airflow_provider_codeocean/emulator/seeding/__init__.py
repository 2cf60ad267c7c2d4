"""The data that a new deployment contains."""
