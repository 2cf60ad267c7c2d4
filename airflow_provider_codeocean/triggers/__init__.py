"""Waits in the triggerer."""
