"""Making of a run's plan: recipes, ranges, and epochs of evaluation and early stopping."""

from dataclasses import replace
from pathlib import Path

from search.plan.config import RunConfig
from search.plan.imbalance import imbalance_notes, weighting_notes
from search.plan.plan import DataFacts, Plan, space_of
from search.plan.reference import read_reference
from search.plan.resources import device_of, num_threads, require_places, where_trials_run
from search.recipes.model_remarks import model_remarks, settled
from search.recipes.yaml_file import read_recipe
from search.verdict.wording import listed
from spaces.anchors import anchors, idle_words, without_idle
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.space import Space, parse_fix
from spaces.task import Task
from trainable.data.collecting import default_recipe
from trainable.data.datasets import Dataset, load_dataset
from trainable.evaluation_epochs import evaluation_epochs
from trainable.models.build import (
    describe_model,
    require_dropout,
    require_freezable,
    require_output_bias,
)
from trainable.models.pretrained import require_weights
from trainable.timing import amp_dtype_of, excerpt


def make_plan(config: RunConfig) -> tuple[Plan, Dataset]:
    """Load the dataset and make all decisions that can be made before training.

    Raises:
        InputError: If a setting is wrong; nothing has been written then.
    """
    require_places(config)
    base, notes = _base(config)
    asked = read_reference(config, base)
    # A recipe file names model and image size; flags override them.
    shape = _with_flags(asked.base, config)
    info = describe_model(shape.model, image_size=shape.image_size)
    dataset = load_images(config, image_size=shape.image_size)
    facts = DataFacts(
        name=dataset.name,
        digest=dataset.digest,
        num_train=len(dataset.split.train),
        num_val=len(dataset.split.val),
        num_test=len(dataset.split.test),
        class_names=dataset.class_names,
        images_per_class=dataset.images_per_class,
        num_groups=dataset.num_groups,
        test_groups=dataset.test_groups,
        files=dataset.files,
    )
    ref = settled(_with_flags(asked.recipe(num_train=facts.num_train), config))
    require_dropout(ref, info)
    require_output_bias(ref, info)
    require_freezable(ref)
    task = Task.of(
        ref,
        num_train=facts.num_train,
        num_classes=len(facts.class_names),
        num_blocks=info.num_blocks,
        deepest_share=info.deepest_share,
        has_batch_norm=info.has_batch_norm,
        has_output_bias=info.has_output_bias,
        class_sizes=[train for train, _, _ in facts.images_per_class],
    )
    ref = without_idle(ref, task)
    ref = replace(
        ref,
        amp_dtype=where_trials_run(
            config,
            amp_dtype_of,
            ref,
            excerpt(dataset, num_train=ref.batch_size),
            device=device_of(config),
            num_threads=num_threads(config),
        ),
    )
    space = space_of(task, config)
    candidate, said = _candidate(config, ref, space)
    rungs = _rungs(config, ref.epochs)
    evaluated = evaluation_epochs(
        ref.epochs,
        num_train=facts.num_train,
        # Validation images with raw and averaged weights, training images with those that ship.
        num_evaluated=2 * facts.num_val + min(facts.num_train, facts.num_val),
    )
    idle = [
        f"{ref.model} {words}; {name} is fixed to {space.raw_of(ref)[name]:g}."
        for name, words in idle_words(task).items()
    ]
    plan = Plan(
        data=facts,
        task=task,
        anchors=anchors(ref, task, fixed=dict(parse_fix(text) for text in config.fixed)),
        candidate=candidate,
        space=space,
        eval_epochs=tuple(sorted({*evaluated, *rungs})),
        rungs=rungs,
        notes=(
            *notes,
            *asked.notes,
            *idle,
            *said,
            *model_remarks(ref, space=space),
            *imbalance_notes(facts, metric=config.metric),
            *weighting_notes(space.free_names),
            *dataset.notes,
        ),
    )
    return plan, dataset


def rung_epochs(epochs: int, *, grace_period: int, reduction_factor: int) -> tuple[int, ...]:
    """List the epochs at which trials are compared: ``grace_period * reduction_factor**k``.

    Args:
        epochs: Full length of a trial.
        grace_period: First epoch at which a trial may be stopped, at least 1.
        reduction_factor: Each rung is this many times as late as the one before, at least 2.

    Raises:
        ValueError: If an argument is below its minimum.
    """
    if grace_period < 1 or reduction_factor < 2:
        raise ValueError(
            "`grace_period >= 1` and `reduction_factor >= 2` must hold, "
            f"but got {grace_period=} and {reduction_factor=}."
        )
    rungs = []
    rung = grace_period
    while rung < epochs:
        rungs.append(rung)
        rung *= reduction_factor
    return tuple(rungs)


def _candidate(config: RunConfig, ref: Recipe, space: Space) -> tuple[Recipe | None, list[str]]:
    """Read the recipe to compare with the reference, if one is given, and note what is ignored."""
    if config.best is None:
        return None, []
    given = read_recipe(Path(config.best), defaults=ref)
    asked = space.raw_of(given)
    candidate = space.apply(ref, {name: asked[name] for name in space.dial_names})
    candidate = without_idle(candidate, space.task)
    if replace(_with_flags(given, config), amp_dtype=ref.amp_dtype) == candidate:
        return candidate, []
    taken = listed(["the strengths", *(n for n in space.dial_names if n in space.extra_names)])
    return candidate, [f"Of {config.best} only {taken} are taken: they are what is judged."]


def load_images(config: RunConfig, *, image_size: int) -> Dataset:
    """Load the dataset of a run.

    Raises:
        InputError: If it is missing or invalid.
    """
    return load_dataset(
        config.dataset,
        image_size=image_size,
        data_dir=Path(config.data_dir),
        num_train=config.num_train,
        seed=config.seed,
        max_pixels=config.max_image_pixels,
        columns=config.columns,
        group_by=config.group_by,
    )


def _base(config: RunConfig) -> tuple[Recipe, list[str]]:
    """Return the dataset's default recipe with the flags applied, and notes on changes."""
    default = default_recipe(config.dataset, data_dir=Path(config.data_dir), columns=config.columns)
    base = _with_flags(default, config)
    if not base.pretrained:
        return base, []
    try:
        require_weights(base.model)
    except InputError as error:
        if config.pretrained or config.model is None:
            raise
        # The user chose the model but did not ask for ImageNet weights: do without them.
        return replace(base, pretrained=False), [f"Trained from scratch: {error}"]
    return base, []


def _rungs(config: RunConfig, epochs: int) -> tuple[int, ...]:
    """List the rungs, which come after the longest warmup and averaging window of the space."""
    # Both take up to 0.3 of the run (`spaces.strengths`). A value inside the warmup, or of an
    # average that is still mostly initial weights, says nothing about a trial's final value.
    earliest = -(-3 * epochs // 10)
    grace_period = config.grace_period or max(1, earliest)
    if grace_period < earliest:
        raise InputError(
            f"`grace_period >= {earliest}` must hold, so that no trial is stopped in its warmup "
            f"or one averaging window, but got {grace_period}; raise it, or raise `epochs`."
        )
    return rung_epochs(epochs, grace_period=grace_period, reduction_factor=config.reduction_factor)


def _with_flags(recipe: Recipe, config: RunConfig) -> Recipe:
    """Apply the settings of the command line to a recipe; they override those of files."""
    names = ("model", "pretrained", "epochs", "batch_size", "lr", "optimizer", "image_size")
    given = {name: getattr(config, name) for name in (*names, "amp_dtype")}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(recipe, **given, seed=config.seed)
