"""Reading, writing, exporting and comparing of recipe files."""
