"""The state of a deployment: objects, users, buckets, and traffic."""
