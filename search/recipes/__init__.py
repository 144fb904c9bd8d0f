"""Recipe files in, out and compared."""
