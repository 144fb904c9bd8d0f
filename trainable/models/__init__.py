"""Models: creation, pretrained weights, stochastic depth, saving."""
