"""The state of a deployment: objects, users, buckets, traffic."""
