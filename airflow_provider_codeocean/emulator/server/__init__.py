"""Serving the emulator: the application, its middleware, and its control endpoints."""
