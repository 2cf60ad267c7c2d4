"""Capturing once: the key, the steps, and the protocol that chooses among them."""
