"""Which results of polls are new, and which DAG run has claimed them. Independent of Airflow."""
