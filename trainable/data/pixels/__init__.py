"""Decoding of one image file to upright pixels."""
