"""Folders of images: detection of classes and of given splits."""
