"""CPU time of a capture's worker process: see ``__main__``."""
