"""Deferred waits and asset watchers, which run in the triggerer."""
