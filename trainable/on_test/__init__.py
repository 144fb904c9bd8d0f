"""Results on the test images that cost no training: classifiers on frozen features."""
