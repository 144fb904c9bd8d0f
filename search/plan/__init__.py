"""What was asked for, and what will be done."""
