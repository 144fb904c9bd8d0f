"""Time that a main job spends on what a run gives away for free, as a share of the whole.

    python -m benchmarks.steps.free_measurements --dataset small-transfer

CPU seconds of one process, which other work on the machine changes little: of a run of the
size-scaled default, of a second measurement of its average with BatchNorm statistics of its own, of
the readings (mirror images and temperature), of classifiers on frozen features, and of a soup with
the weights of four other runs, which also write them. They are weighted with
the numbers of runs that a plan expects.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from search.plan.config import RunConfig
from search.plan.planning import make_plan
from search.plan.stage_size import FEW_SEEDS, search_sizes
from trainable.measurement import Measured
from trainable.on_test.lent_weights import write_weights
from trainable.run_spec import Soup
from trainable.trainer import Trainer

NUM_LENT = 4
"""Runs of a seed that lend their weights, if no two recipes are equal."""


def seconds(action: Callable[[], object]) -> float:
    """Measure the CPU seconds of an action."""
    started = time.process_time()
    action()
    return time.process_time() - started


def soup_seconds(trainer: Trainer, measured: Measured) -> tuple[float, float]:
    """Measure the CPU seconds of a soup of five runs, and of writing the weights of one."""
    with tempfile.TemporaryDirectory() as folder:
        places = {f"r{i}": str(Path(folder) / f"r{i}.safetensors") for i in range(NUM_LENT)}
        weights = trainer.shipped_weights()
        lend_s = min(seconds(partial(write_weights, at, weights)) for at in places.values())
        soup = Soup(locations=places, scores=dict.fromkeys(places, 0.0), metric="top1", sign=1.0)
        soup_s = min(seconds(lambda: trainer.soup_on_test(measured, soup)) for _ in range(3))
    return soup_s, lend_s


def main() -> None:
    """Measure one run with everything, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", default="small-transfer")
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = RunConfig(
        dataset=args.dataset,
        run_dir="runs",
        run_name="timing",
        data_dir=str(Path("data").resolve()),
        created="",
    )
    plan, dataset = make_plan(config)
    recipe = replace(plan.anchors["scaled"], epochs=2)

    def run(within: dict[str, float]) -> tuple[Trainer, float]:
        levels = {"reference": 0.99, "best": recipe.strengths.ema_decay, "none": 0.0}
        trainer = Trainer(
            recipe,
            dataset,
            dataset.split,
            ema_levels=levels if within else {},
            within_levels=within,
        )
        trainer.train_epoch()  # The first one allocates memory and chooses kernels.
        return trainer, plan.task.epochs * seconds(trainer.train_epoch)

    trainer, train_s = run({"best.ema_batch_norm": 1.0})
    trainer.measure("val")  # The first one chooses kernels.
    with_s = min(seconds(lambda: trainer.measure("val")) for _ in range(3))
    trainer._measurement._within_levels = {}
    without_s = min(seconds(lambda: trainer.measure("val")) for _ in range(3))
    plain, _ = run({})
    confirmed = plain.measure("val", "test")
    confirm_s = min(seconds(lambda: plain.measure("val", "test")) for _ in range(3))
    readings_s = min(seconds(lambda: plain.readings_on_test(confirmed)) for _ in range(3))
    soup_s, lend_s = soup_seconds(plain, confirmed) if recipe.pretrained else (0.0, 0.0)
    frozen_s = min(seconds(plain.frozen_on_test) for _ in range(2)) if recipe.pretrained else 0.0

    print(f"a run trains for {train_s:.2f} s; its last evaluation takes {without_s:.2f} s in the")
    print(f"experiment and {confirm_s:.2f} s in the confirmation")
    sizes = {size.name: size for size in search_sizes(plan, config, None)}
    runs = sum(s.share * (s.num_trials + s.expected_more(s.num_trials)) for s in sizes.values())
    whole = runs * (train_s + without_s)
    experiment = sizes["attribute"].num_trials
    experiment += sizes["attribute"].expected_more(sizes["attribute"].num_trials)
    for name, each, number in (
        ("statistics of its own", with_s - without_s, experiment),
        ("readings", readings_s, config.confirm_seeds),
        ("frozen features", frozen_s, config.confirm_seeds),
        ("a soup", soup_s, FEW_SEEDS),
        ("weights for a soup", lend_s, FEW_SEEDS * NUM_LENT),
    ):
        share = 100 * each * number / whole
        print(f"{name}: {each:.2f} s in {number:.1f} of {runs:.1f} runs, {share:.2f} % of the job")


if __name__ == "__main__":
    main()
