"""Development tools: a real Airflow for tests, the demo, the version matrix. Not part of the package."""
