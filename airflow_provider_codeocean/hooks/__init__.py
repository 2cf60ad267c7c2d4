"""Airflow's connection to Code Ocean."""
