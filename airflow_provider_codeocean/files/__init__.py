"""Listing, choosing and downloading files of data assets and results of computations. No Airflow here."""
