"""The endpoints of the API, each declared once. A file per resource."""
