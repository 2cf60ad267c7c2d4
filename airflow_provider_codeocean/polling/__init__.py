"""Waiting: what a look means and when to take the next, and one poller for all waits of a connection."""
