"""Files that a run keeps on disk, and their reading."""
