"""What to try, when to stop, and what it means."""
