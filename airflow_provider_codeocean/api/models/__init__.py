"""Pydantic models of the API: lenient for responses, strict for parameters."""
