"""Apache Airflow provider for Code Ocean."""

__version__ = "0.1.0"
