"""Exactly-once submission: idempotency keys and the protocol with its commands."""
