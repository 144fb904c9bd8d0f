#!/usr/bin/env bash
# torch 2.15.0.
# Guess, written before it was run: `cross_entropy` with class weights gives the same mean for a label as a number and as a one-hot
# row (what MixUp and CutMix make of it), and with label smoothing it is the weighted mean of the images' smoothed losses.
# Expected: one value for numbers and one-hot rows; with smoothing 0.1 one value for the two ways to write it.
# Seen: 0.637 for numbers and 1.273 for one-hot rows; 0.758 with smoothing, where the weighted mean is 0.694. So turning MixUp on
# multiplies the loss, its gradient and what clipping sees of it by the mean weight of the batch, and smoothing is weaker on
# images of rare classes than on others.
# Why: the mean over numbers divides by the sum of the images' weights, the mean over rows by their number; and in the smoothing
# term each class has its own weight instead of the image's (aten/src/ATen/native/LossNLL.cpp, `cross_entropy_loss_prob_target`
# and `cross_entropy_loss_label_smoothing`). A way out: `reduction="none"` without weights, and weigh images by hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - <<'PY'
import sys

import torch
from torch.nn.functional import cross_entropy, one_hot

logits = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 1.0]], dtype=torch.float64)
labels = torch.tensor([0, 0, 1, 2])
weights = torch.tensor([0.5, 1.0, 6.0], dtype=torch.float64)
numbers = cross_entropy(logits, labels, weights)
rows = cross_entropy(logits, one_hot(labels, 3).double(), weights)
smoothed = cross_entropy(logits, labels, weights, label_smoothing=0.1)
by_image = cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
by_hand = (weights[labels] * by_image).sum() / weights[labels].sum()
print(f"torch {torch.__version__}: numbers {numbers:.3f}, one-hot rows {rows:.3f}, mean weight {weights[labels].mean():.3f}")
print(f"with smoothing 0.1: {smoothed:.3f}, weighted mean of the images' smoothed losses {by_hand:.3f}")
print("expected: equal values in each line")
same_ratio = torch.isclose(rows / numbers, weights[labels].mean())
sys.exit(bool(not same_ratio or abs(rows - numbers) < 0.01 or abs(smoothed - by_hand) < 0.01))
PY
