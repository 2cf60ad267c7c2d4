"""Lineage of the data that tasks read and write."""
