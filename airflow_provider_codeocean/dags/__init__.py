"""Functions that create complete DAGs."""
