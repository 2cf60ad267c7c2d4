"""Whole DAGs, ready to be used: a call makes one."""
