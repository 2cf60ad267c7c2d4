"""Developer tooling: a real Airflow to run DAGs in, the demo, the version matrix. Not part of the package."""
