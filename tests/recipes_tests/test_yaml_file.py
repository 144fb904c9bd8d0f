"""Recipe files: round trips, the other schema, and everything that can be wrong with a file."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.recipes.strict_yaml import MAX_BYTES, number_text, to_yaml
from search.recipes.yaml_file import read_described, read_recipe, write_recipe
from search.records.strict_json import is_text
from spaces.errors import InputError
from spaces.recipe import AMP_DTYPES, OPTIMIZERS, SCHEDULES, RandAugment, Recipe
from spaces.strengths.values import Strengths

INTERFACE_EXAMPLE = """\
schema: recipe/1
model: tf_efficientnet_lite0
pretrained: true
image_size: 32
epochs: 15
batch_size: 32
optimizer: adamw
lr: 0.001
strengths:
  weight_decay: 0.05
  label_smoothing: 0.1
  drop_path_rate: 0.1
  ema_decay: 0.9999
  warmup_fraction: 0.05
mixup_alpha: 0.0
cutmix_alpha: 0.0
randaugment: null          # or {num_ops: 2, magnitude: 9}
amp_dtype: auto
grad_clip_norm: 1.0
seed: 0
"""
EXAMPLE = Recipe(
    pretrained=True,
    strengths=Strengths(
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        ema_decay=0.9999,
        warmup_fraction=0.05,
    ),
)

share = st.floats(0, 1, exclude_max=True)
positive = st.floats(1e-300, 1e300)
recipes = st.builds(
    Recipe,
    # No NUL, which no reader takes: nothing by such a name can be opened.
    model=st.text(min_size=1, max_size=12).filter(is_text)
    | st.sampled_from(["1e-3", "null", "2024-01-01", "on"]),
    pretrained=st.booleans(),
    image_size=st.integers(8, 4096),
    epochs=st.integers(1, 10_000),
    batch_size=st.integers(64, 100_000),
    optimizer=st.sampled_from(OPTIMIZERS),
    lr=positive,
    strengths=st.builds(
        Strengths,
        weight_decay=st.floats(0, 1e6),
        label_smoothing=share,
        drop_path_rate=share,
        ema_decay=share,
        warmup_fraction=share,
    ),
    schedule=st.sampled_from(SCHEDULES),
    layer_decay=st.floats(0, 1, exclude_min=True),
    mixup_alpha=st.floats(0, 1e9),
    class_weighting=st.floats(0, 1),
    logit_adjustment=st.floats(0, 3),
    randaugment=st.none() | st.builds(RandAugment, magnitude=st.integers(0, 30)),
    amp_dtype=st.sampled_from(AMP_DTYPES),
    grad_accum_steps=st.integers(1, 64),
    seed=st.integers(0, 2**63 - 1),
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_example_of_the_interface_reads_as_what_it_says(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, INTERFACE_EXAMPLE), defaults=None) == EXAMPLE


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipe=recipes)
def test_a_recipe_reads_back_as_the_very_same_numbers(
    recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    write_recipe(path, recipe, comments=("found by a search",))
    assert read_recipe(path, defaults=None) == recipe
    # Anybody else reads it with PyYAML, whose rules for numbers are older.
    plain = yaml.safe_load(path.read_text())
    assert Recipe.from_dict(plain) == recipe


def test_keys_stand_in_the_order_of_the_interface(tmp_path: Path) -> None:
    write_recipe(tmp_path / "best.yaml", EXAMPLE)
    mine = list(yaml.safe_load((tmp_path / "best.yaml").read_text()))
    assert [key for key in mine if key in yaml.safe_load(INTERFACE_EXAMPLE)] == list(
        yaml.safe_load(INTERFACE_EXAMPLE)
    )
    assert set(mine) == set(Recipe().to_dict())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "0.001"),
        (1e-8, "0.00000001"),
        (2e-05, "0.00002"),
        (0.0, "0.0"),
        (1.0, "1.0"),
        (0.99995, "0.99995"),
        (1e22, "1.0e+22"),
        (1.5e-300, "1.5e-300"),
        (5e-324, "5.0e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ],
)
def test_numbers_are_written_as_people_write_them_and_exactly(value: float, text: str) -> None:
    assert number_text(value) == text
    assert float(text) == value
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", ".001", "0.001", "+0.001"])
def test_a_number_may_be_written_in_every_usual_way(tmp_path: Path, text: str) -> None:
    assert read_recipe(written(tmp_path, f"lr: {text}"), defaults=None).lr == 0.001


def test_text_that_looks_like_a_number_stays_text(tmp_path: Path) -> None:
    for text in ("1e-3", "12", "0.5", "null", "yes", "2024-01-01", "", "a: b", "# x", " y "):
        assert yaml.safe_load(to_yaml({"model": text})) == {"model": text}
        path = written(tmp_path, to_yaml({"model": text}))
        assert read_recipe(path, defaults=None).model == text


def test_what_is_missing_comes_from_the_defaults_strength_by_strength(tmp_path: Path) -> None:
    path = written(tmp_path, "strengths: {label_smoothing: 0.2}\nepochs: 7\n")
    expected = replace(EXAMPLE, epochs=7).with_strengths(label_smoothing=0.2)
    assert read_recipe(path, defaults=EXAMPLE) == expected


def test_comments_come_first_and_stay_comments(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    write_recipe(path, EXAMPLE, comments=("gain: +1.2 points\nlr: 5", "", "# hash"))
    lines = path.read_text().splitlines()
    assert lines[:5] == ["# gain: +1.2 points", "# lr: 5", "#", "# # hash", "schema: recipe/1"]
    assert read_recipe(path, defaults=None) == EXAMPLE


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.yaml"
    write_recipe(path, EXAMPLE)

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        write_recipe(path, replace(EXAMPLE, epochs=99))
    assert read_recipe(path, defaults=None) == EXAMPLE


def test_a_timm_file_is_known_by_its_keys(tmp_path: Path) -> None:
    path = written(tmp_path, "model: resnet18\nopt: adamw\nsmoothing: 0.2\nlr: 1e-3\n")
    recipe = read_recipe(path, defaults=EXAMPLE)
    assert recipe.model == "resnet18"
    assert recipe.strengths.label_smoothing == 0.2
    assert read_described(path, defaults=EXAMPLE).notes


BILLION_LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("  \n\n", "is empty"),
        ("# nothing\n", "only comments"),
        ("---\n...\n", "only comments"),
        ("- 1\n- 2\n", "is a list"),
        ("hello", "is text"),
        ("42", "is a number"),
        ("true", "single value"),
        ("lr: [1, 2", r"not valid YAML, line 1"),
        ("lr: 1\n\tepochs: 2", r"not valid YAML, line 2"),
        ("lr: 1\nlr: 2\n", r"line 2, column 1: the key 'lr' is given twice"),
        ("strengths: {weight_decay: 1, weight_decay: 2}", "'weight_decay' is given twice"),
        ("? [a, b]\n: 1\n", "is not text"),
        ("1: 2\n", "the key 1 is not text"),
        ("---\nlr: 1\n---\nlr: 2\n", "not valid YAML"),
        (b"\xff\xfe\x00\x01", "byte 0 is not"),
        (b"lr: 1 # \xe9", "byte 8 is not"),
        (b"lr: 1\n\x00\x01\x02", "not valid YAML, character 6 is not text"),
        (b"\x7fELF" + bytes(range(1, 9)), "not valid YAML, character"),
        ("[" * 30_000, "nested more than 8 levels"),
        ("{a: " * 9_000, "nested more than 8 levels"),
        ("- " * 30_000, "nested more than 8 levels"),
        (BILLION_LAUGHS, "line 2: YAML aliases are not allowed"),
        ("lr: &x 1\nmin_lr: *x\n", "line 2: YAML aliases"),
        ("lr: !!python/object/apply:os.system [ls]\n", r"YAML tags \(tag:yaml.org"),
        ("lr: !!float x\n", "YAML tags"),
        ('model: "\\ud800"\n', "line 1, column 8: the text .* cannot be written to a file"),
        ('"\\0": 1\n', "line 1, column 1: the text .* cannot be written to a file"),
        ("lr: !!timestamp x\n", "YAML tags"),
        ("%YAML 9.9\n---\nlr: 1\n", "not valid YAML"),
        ("epochs: " + "9" * 25, "beyond 64 bits"),
        ("epochs: " + "9" * 5000, "`epochs` must be an integer"),
        ("x" * (MAX_BYTES + 1), f"at most {MAX_BYTES} bytes"),
        ("schema: recipe/2\n", "`schema` must be 'recipe/1'"),
        ("learning_rate: 1\n", "Unknown recipe key 'learning_rate'"),
        ("weight_decay: 0.1\n", "`weight_decay` must stand under `strengths`"),
        ("strengths: {weight_decy: 1}\n", "Unknown strength 'weight_decy'"),
        ("strengths: 5\n", "`strengths` must be a mapping"),
        ("strengths: {label_smoothing: 1}\n", "`0 <= label_smoothing < 1` must hold, but got 1"),
        ("strengths: {ema_decay: .nan}\n", "`0 <= ema_decay < 1` must hold, but got nan"),
        ("lr: .inf\n", "`0 <= lr` must hold, but got inf"),
        ("lr: 1e999\n", "`0 <= lr` must hold, but got inf"),
        ("lr: -1\n", "`0 <= lr` must hold, but got -1"),
        ("lr: true\n", "`lr` must be a number, but got True"),
        ("lr: fast\n", "`lr` must be a number, but got 'fast'"),
        ("lr: 2024-01-01\n", "`lr` must be a number, but got '2024-01-01'"),
        ("epochs: 1:30\n", "`epochs` must be an integer, but got '1:30'"),
        ("epochs: 1.5\n", "`epochs` must be an integer, but got 1.5"),
        ("pretrained: 1\n", "`pretrained` must be true or false"),
        ("randaugment: {num_ops: 0}\n", "`1 <= num_ops` must hold"),
        ("optimizer: lamb\n", "`optimizer` must be one of adamw"),
        ("<<: {lr: 1}\n", "Unknown recipe key '<<'"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_file(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = written(tmp_path, content)
    start = time.process_time()
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(path, defaults=None)
    assert time.process_time() - start < 2
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    "text",
    [
        "task: classify\nmode: train\nmodel: yolov8n-cls.pt\nepochs: 100\nbatch: 16\nimgsz: 224\n"
        "pretrained: true\noptimizer: auto\nlr0: 0.01\nlrf: 0.01\nmomentum: 0.937\nhsv_h: 0.015\n"
        "weight_decay: 0.0005\nwarmup_epochs: 3.0\nmixup: 0.0\nmosaic: 1.0\ndropout: 0.0\n",
        "task: detect\nmode: train\nimgsz: 640\n",
        "lr0: 0.01\nlrf: 0.01\nmomentum: 0.9\nworkers: 8\ndevice: 0\nmixup: 0.1\n",
    ],
)
def test_an_ultralytics_file_is_called_what_it_is_in_one_line(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=r"this is an args\.yaml of Ultralytics") as caught:
        read_recipe(path, defaults=None)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_not_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_recipe(tmp_path / "absent.yaml", defaults=None)
    with pytest.raises(InputError, match="this is a folder"):
        read_recipe(tmp_path, defaults=None)
    with pytest.raises(InputError, match="a device or a pipe"):
        read_recipe(Path("/dev/zero"), defaults=None)
    with pytest.raises(InputError, match=r"cannot be read|no such file"):
        read_recipe(tmp_path / ("x" * 300), defaults=None)
    with pytest.raises(InputError, match="there is no such file"):
        read_recipe(Path("a\0b"), defaults=None)


KEYS = st.sampled_from([*Recipe().to_dict(), *Strengths().as_dict(), "num_ops", "opt", "smoothing"])
SCALARS = st.sampled_from(
    ["1", "-1", "0.5", "1e9", ".nan", ".inf", "null", "true", "x", "'q'", "[]", "{}", "~", "=", "|"]
)
NEARLY_YAML = st.lists(
    st.tuples(st.sampled_from(["", "  ", "- ", "\t", "? ", "&a "]), KEYS, SCALARS), max_size=6
).map(lambda rows: "\n".join(f"{indent}{key}: {value}" for indent, key, value in rows))


@settings(max_examples=250, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200), NEARLY_YAML))
def test_no_file_ends_in_anything_but_a_recipe_or_an_input_error(
    content: bytes | str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(raw)
    try:
        outcome: Recipe | str = read_recipe(path, defaults=EXAMPLE)
    except InputError as error:
        outcome = str(error)
    assert isinstance(outcome, Recipe) or "\n" not in outcome


@pytest.mark.parametrize(
    "line", ["a: 1\n", "? a\n", "&b c: d\n", "k: [1, 2, 3]\n", '"\\x41": "\\', "a: |\n  b\n", "%a "]
)
def test_the_longest_file_that_is_read_takes_a_moment(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, (line * MAX_BYTES)[:MAX_BYTES])
    start = time.process_time()
    with pytest.raises(InputError, match="mine"):
        read_recipe(path, defaults=None)
    assert time.process_time() - start < 5
