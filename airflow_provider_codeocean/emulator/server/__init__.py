"""The server: application, middleware, and control endpoints."""
