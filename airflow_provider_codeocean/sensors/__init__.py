"""Tasks that wait for what others do in Code Ocean."""
