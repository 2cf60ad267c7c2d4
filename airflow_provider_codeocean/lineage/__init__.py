"""Lineage: the data that a task has read and written."""
