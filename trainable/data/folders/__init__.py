"""Folders of images: which of them are classes, and which are the parts of a split."""
