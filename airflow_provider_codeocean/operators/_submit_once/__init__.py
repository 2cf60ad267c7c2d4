"""Base class of the operators that submit a job, and the job types."""
