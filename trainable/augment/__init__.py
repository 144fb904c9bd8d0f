"""Augmentation of the images and labels of a batch."""
