"""What there is to tell of a look, and what has been told and taken: pure decisions, and no Airflow."""
