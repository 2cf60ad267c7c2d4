"""Code Ocean's REST API for Python: typed calls, a sync and an async client. Knows nothing of Airflow."""
