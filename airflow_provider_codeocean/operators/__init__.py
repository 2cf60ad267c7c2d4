"""Tasks that do something in Code Ocean."""
