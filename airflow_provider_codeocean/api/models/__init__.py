"""The API's objects: what it answers (read leniently) and what it takes (checked strictly)."""
