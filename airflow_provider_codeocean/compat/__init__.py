"""What differs from one Airflow to the next. features.py declares it, and alone asks which one is running."""
