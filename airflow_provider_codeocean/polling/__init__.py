"""Waits and watches, and the poller that all of them share on a connection. Independent of Airflow."""
