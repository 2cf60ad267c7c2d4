"""The rules of Code Ocean: what each request does to the deployment."""
