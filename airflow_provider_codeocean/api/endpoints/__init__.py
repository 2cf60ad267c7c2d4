"""The endpoints of the API, each declared once, with one module per resource."""
