"""List, select, and download files of data assets and results of computations, independent of Airflow."""
