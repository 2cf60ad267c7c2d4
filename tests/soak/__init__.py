"""A long, steady load on one triggerer of a real Airflow, to see that nothing grows."""
