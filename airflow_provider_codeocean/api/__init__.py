"""Typed sync and async clients of Code Ocean's REST API, independent of Airflow."""
