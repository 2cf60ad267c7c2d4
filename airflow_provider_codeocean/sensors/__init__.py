"""Sensors that wait for jobs and data in Code Ocean."""
