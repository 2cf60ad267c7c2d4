"""Waits that start in the triggerer, beside classic deferrable ones: see ``__main__``."""
