"""Writing and reading of the JSON file beside a cache of decoded images.

A cache may be incomplete, of another version, or written by somebody else. If the file does not
have exactly the form written here, the cache is built again.
"""

import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np

from trainable.data.bulk_decode import Readable
from trainable.data.pixels.deep_grey import FLOATS, INTEGERS, GreyRange, GreyScale
from trainable.data.pixels.thumbnail import SIDE

_LARGEST = 1e300


def facts_text(readable: Readable, num_images: int) -> str:
    """Write a `Readable` as JSON, without hashes and thumbnails.

    Args:
        readable: What is written.
        num_images: Number of images of its source.
    """
    lost = np.setdiff1d(np.arange(num_images), readable.kept).tolist()
    return json.dumps(
        {
            "skipped": [[i, *pair] for i, pair in zip(lost, readable.skipped, strict=True)],
            "scales": {
                kind: [*astuple(scale.black_to_white), scale.num_images, scale.typical_levels]
                for kind, scale in readable.scales.items()
            },
            "num_cut": readable.num_cut,
            "num_turned": readable.num_turned,
        }
    )


def read_facts(content: bytes, num_images: int) -> Readable | None:
    """Read a `Readable` from JSON; None if the content has another form.

    Hashes and thumbnails are 0 in it.
    """
    try:
        data = json.loads(content)
        skipped = {
            _whole(number, num_images - 1): (_text(name), _text(reason))
            for number, name, reason in data["skipped"]
        }
        kept = np.setdiff1d(np.arange(num_images), np.array([*skipped], np.int64))
        return Readable(
            kept=kept,
            hashes=np.zeros(len(kept), np.uint64),
            thumbnails=np.zeros((len(kept), SIDE, SIDE), np.uint8),
            skipped=tuple(skipped.values()),
            scales=_scales(data["scales"], num_images),
            num_cut=_whole(data["num_cut"], num_images),
            num_turned=_whole(data["num_turned"], num_images),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _scales(data: Mapping[str, Any], num_images: int) -> dict[str, GreyScale]:
    scales = {}
    for kind, (low, high, count, levels) in data.items():
        if kind not in (INTEGERS, FLOATS):
            raise ValueError(kind)
        scales[kind] = GreyScale(
            black_to_white=GreyRange(low=_number(low), high=_number(high)),
            num_images=_whole(count, num_images),
            typical_levels=_whole(levels, 256),
        )
    return scales


def _whole(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(value)
    return value


def _number(value: object) -> float:
    # Compared first: a whole number may be too large for a float.
    if type(value) not in (int, float) or not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
        raise ValueError(value)
    return float(value)  # type: ignore[arg-type]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value
