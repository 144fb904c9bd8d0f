"""What a strength is, where it may lie, and what it means for this many images and steps."""
