"""Records, configuration, and rules without state."""
