"""The business logic of Code Ocean: the effect of each request on the deployment."""
