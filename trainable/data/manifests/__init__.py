"""Tables of image files and labels: reading of their rows, finding of their columns."""
