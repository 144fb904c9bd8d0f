#!/usr/bin/env bash
# timm 1.0.31 with pillow 13.0.0, beside pillow 12.0.0.
# Guess, written before it was run: timm's RandAugment of a small magnitude changes little, and takes any image at any magnitude.
# Expected: no error in 20,000 images of noise, with the policy that DeiT, Swin and ConvNeXt were trained with.
# Seen: with Pillow 13 `rand-m9-mstd0.5-inc1` raises "ValueError: bits must be between or equal to 1 and 8" for 1 to 2 images in 1,000,
# so that any training of usual length ends by it; `rand-m1-n2` and `v0` of AutoAugment do for 3 to 6 in 100. With Pillow 12 never.
# Why: at magnitude 10, which a draw around 9 with deviation 0.5 reaches, timm's posterizing keeps no bits ("range [0, 4]",
# timm/data/auto_augment.py, `_posterize_level_to_arg` and the increasing one), which gave a black image; Pillow 13 takes 1 to 8
# (PIL/ImageOps.py, `posterize`). Ways out: `-mmax9` behind the policy, or Pillow 12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check timm==1.0.31 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 \
  pillow==13.0.0 2>"$folder/pip.txt" || { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$folder/older" pillow==12.0.0 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
cat >"$folder/count.py" <<'PY'
import random
import sys

import numpy as np
import PIL
import timm
from PIL import Image
from timm.data.auto_augment import auto_augment_transform, rand_augment_transform

image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
settings = {"translate_const": 14, "img_mean": (124, 116, 104)}
policies = {
    "rand-m9-mstd0.5-inc1": rand_augment_transform,
    "rand-m9-mstd0.5-mmax9-inc1": rand_augment_transform,
    "rand-m1-n2": rand_augment_transform,
    "v0": auto_augment_transform,
}
counts = {}
for policy, make in policies.items():
    random.seed(0)
    np.random.seed(0)
    transform, counts[policy] = make(policy, dict(settings)), 0
    for _ in range(20_000):
        try:
            transform(image)
        except ValueError as error:
            assert "bits must be" in str(error)
            counts[policy] += 1
print(f"timm {timm.__version__}, pillow {PIL.__version__}: errors in 20,000 images {counts}")
usual, capped, least, first = counts.values()
is_as_seen = capped == 0 and 5 <= usual <= 100 and min(least, first) > 200
sys.exit(not is_as_seen if PIL.__version__.startswith("13.") else any(counts.values()))
PY
echo "expected: none"
"$folder/env/bin/python" "$folder/count.py"
PYTHONPATH="$folder/older" "$folder/env/bin/python" "$folder/count.py"
