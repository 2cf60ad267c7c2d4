"""Differences between Airflow releases: ``features`` declares them, the other modules adapt to them."""
