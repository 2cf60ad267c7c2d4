"""Submitting a job once: the operator, the runner of the protocol, and the two kinds of job."""
