"""What is done to images and labels of a batch."""
