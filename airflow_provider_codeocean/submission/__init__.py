"""Submitting once: idempotency keys, and the protocol with its commands."""
