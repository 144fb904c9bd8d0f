"""What a file of somebody else can make us do, and what we tell about whom: as little as may be."""

import ast
import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from search.cli import main
from search.commands import pipeline, ui
from search.plan.origin import read_origin
from search.recipes.yaml_file import read_recipe
from search.records.files import only_driver, write_json
from search.records.provenance import ROOT
from search.records.run_names import plain_name, require_run_name
from search.records.trials import TrialSpec
from search.tracking.champion import save_champion
from spaces.errors import InputError
from spaces.recipe import Recipe
from tests.support import finished_run
from tests.support.toy_training import TOY, write_run
from trainable import checkpoint
from trainable.data.image_cache import load_images
from trainable.data.image_sources import ArraySource
from trainable.models.build import create_model
from trainable.models.pretrained import load_packaged_weights
from trainable.ray_trainable import RecipeTrainable

# Who can reach the UI.


def test_the_ui_listens_on_this_machine_alone_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ui, "serve", lambda store, host, port: asked.append(host))
    for name in ("HOST", "MLFLOW_HOST"):
        monkeypatch.setenv(name, "0.0.0.0")
    assert main(["ui"]) == 0
    assert main(["ui", "--host", "0.0.0.0"]) == 0
    assert asked == ["127.0.0.1", "0.0.0.0"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost"])
def test_nothing_is_said_of_a_server_that_only_this_machine_reaches(host: str) -> None:
    assert ui.exposed(host, 5000) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "no-such-host.invalid"])
def test_one_line_says_what_others_can_do(host: str) -> None:
    said = ui.exposed(host, 5000)
    assert f"{host}:5000 asks for no password" in said
    assert "read, change and delete all runs, models and artifacts" in said
    assert len(said.splitlines()) == 1


# No pickle.


FORBIDDEN = {
    "eval",
    "exec",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "cloudpickle.load",
    "cloudpickle.loads",
    "dill.load",
    "joblib.load",
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "pd.read_pickle",
    "pandas.read_pickle",
    "torch.jit.load",
    "torch.hub.load",
    "tune.Tuner.restore",
    "yaml.full_load",
    "yaml.unsafe_load",
    "mlflow.pyfunc.load_model",
    "mlflow.pytorch.load_model",
}
DEMANDED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
SAFE_LOADERS = {"_Loader"}
"""Subclasses of `yaml.SafeLoader`."""


def unsafe_calls(source: str) -> list[str]:
    """Calls that run what a file says, or could."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in names if name in FORBIDDEN | set(DEMANDED) | {"yaml.load"}]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {word.arg: word.value for word in node.keywords}
        if name in FORBIDDEN:
            found.append(name)
        if name in DEMANDED:
            key, value = DEMANDED[name]
            held = given.get(key)
            if not isinstance(held, ast.Constant) or held.value is not value:
                found.append(name)
        if name == "yaml.load" and ast.unparse(given.get("Loader", node)) not in SAFE_LOADERS:
            found.append(name)
        shell = given.get("shell")
        if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
            found.append(f"{name}(shell=...)")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(f)",
        "from pickle import loads",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "torch.load(p, weights_only=flag)",
        "np.load(p)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(t, Loader=yaml.Loader)",
        "yaml.load(t)",
        "eval(t)",
        "subprocess.run(t, shell=True)",
        "tune.Tuner.restore(p)",
    ],
)
def test_an_unsafe_call_is_seen(source: str) -> None:
    assert len(unsafe_calls(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(p, weights_only=True)",
        "np.load(p, allow_pickle=False)",
        "yaml.load(t, Loader=_Loader)",
        "yaml.safe_load(t)",
        "model.eval()",
        "except pickle.UnpicklingError: ...".replace("except", "try: ...\nexcept"),
    ],
)
def test_a_safe_call_is_let_be(source: str) -> None:
    assert unsafe_calls(source) == []


def test_no_module_runs_what_a_file_says() -> None:
    files = [
        f
        for name in ("search", "spaces", "trainable", "benchmarks")
        for f in (ROOT / name).rglob("*.py")
    ]
    assert len(files) > 100
    found = {str(f.relative_to(ROOT)): unsafe_calls(f.read_text()) for f in files}
    assert {name: calls for name, calls in found.items() if calls} == {}


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.mark,)


def as_pickle(trap: Trap) -> bytes:
    return pickle.dumps(trap, protocol=2)  # The one that torch reads without a warning.


def as_torch(trap: Trap) -> bytes:
    stream = io.BytesIO()
    torch.save({"model": trap, "classifier.weight": trap}, stream)
    return stream.getvalue()


def as_numpy(trap: Trap) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([trap] * 6, object), allow_pickle=True)
    return stream.getvalue()


FORMS = {"pickle": as_pickle, "torch": as_torch, "numpy": as_numpy}


@pytest.fixture(params=FORMS)
def trap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bytes]:
    """A file that leaves a mark where it is unpickled, which must not happen."""
    mark = tmp_path / "mark"
    yield FORMS[request.param](Trap(mark))
    assert not mark.exists()


def test_the_trap_works(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pickle.loads(as_pickle(Trap(mark)))
    assert mark.exists()
    mark.unlink()
    torch.load(io.BytesIO(as_torch(Trap(mark))), weights_only=False)
    assert mark.exists()
    mark.unlink()
    np.load(io.BytesIO(as_numpy(Trap(mark))), allow_pickle=True)
    assert mark.exists()


def plant(trap: bytes, directory: Path) -> None:
    """A checkpoint with the name that says it is whole, as who plants it can give it."""
    digest = hashlib.sha256(trap).hexdigest()
    (directory / f"run-000001-{digest}.pt").write_bytes(trap)


def test_a_checkpoint_cannot_run_code(trap: bytes, tmp_path: Path) -> None:
    plant(trap, tmp_path)
    trainer: Any = SimpleNamespace(device="cpu")
    with pytest.raises(RuntimeError, match=r"\.pt is no checkpoint of tensors"):
        checkpoint.load(trainer, tmp_path)


def test_a_checkpoint_in_rays_own_form_is_refused(trap: bytes, tmp_path: Path) -> None:
    from ray.tune import Checkpoint

    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "_dict_checkpoint.pkl").write_bytes(trap)
    with pytest.raises(RuntimeError, match=r"must hold tensors only, but got .*\.pkl"):
        RecipeTrainable.restore(
            RecipeTrainable.__new__(RecipeTrainable), Checkpoint.from_directory(folder)
        )


def test_the_champions_checkpoint_cannot_run_code(trap: bytes, tmp_path: Path) -> None:
    plant(trap, tmp_path)
    trial = replace(finished_run.confirm_trials()[1], checkpoint=str(tmp_path))
    with pytest.raises(OSError, match=r"\.pt is no checkpoint of tensors"):
        save_champion(tmp_path, trial, class_names=("a", "b"))


def test_a_cache_of_images_cannot_run_code(trap: bytes, tmp_path: Path) -> None:
    source = ArraySource(np.arange(6 * 81, dtype=np.uint8).reshape(6, 9, 9))
    before = np.array(load_images(source, image_size=8, cache_dir=tmp_path / "cache").images)
    for path in sorted((tmp_path / "cache").glob("*.*")):
        path.write_bytes(trap)
    after = load_images(source, image_size=8, cache_dir=tmp_path / "cache").images
    np.testing.assert_array_equal(after, before)


def test_packaged_weights_cannot_run_code(trap: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(trap)
    model = create_model(Recipe(model="tf_efficientnet_lite0"), num_classes=2)
    with pytest.raises((pickle.UnpicklingError, RuntimeError, ValueError), match=r"."):
        load_packaged_weights(model, tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_downloaded_weights_cannot_run_code(
    suffix: str, trap: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"test_byobnet{suffix}").write_bytes(trap)
    with pytest.raises(InputError, match="must hold weights of test_byobnet"):
        create_model(replace(TOY, pretrained=True), num_classes=3)


def test_no_file_of_a_run_can_run_code(trap: bytes, tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    for name in ("config.json", "plan.json", "verdict.json", "best.yaml"):
        before = (run / name).read_bytes()
        (run / name).write_bytes(trap)
        with pytest.raises(InputError, match=name):
            read_recipe(run / name, defaults=None) if name == "best.yaml" else read_origin(run)
        (run / name).write_bytes(before)
    assert read_origin(run).verdict is not None


# No way out of the run directory.


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/tmp/x", "a/b", "..", ".", "", ".hidden", "-rf", "a\nb", "\x1b[2J", "x" * 201),
        *("a b", "bob's", "$HOME", "$(id)", "`id`", "a;b", "a&b", "a#b", "a=b", "a%b", "a:b"),
    ],
)
def test_the_name_of_a_run_is_no_path_and_no_command(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="must be a plain name of letters, digits"):
        require_run_name(name, flag="run_name")
    (tmp_path / "x.yaml").write_text("lr: 0.1\n")
    for command in (["run"], ["train", "--config", str(tmp_path / "x.yaml")]):
        code = main(
            [*command, "--dataset", "digits", f"--run-name={name}", f"--run-dir={tmp_path}"]
        )
        said = capsys.readouterr().err
        assert code == 2, said
        assert "must be a plain name" in said
        assert len(said.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


@pytest.mark.parametrize("name", ["r1", "2026-11-24_a.b", "é", "_x", "猫", "A.B-c_9"])
def test_plain_names_are_taken(name: str) -> None:
    require_run_name(name, flag="run_name")
    assert plain_name(name) == name


@pytest.mark.parametrize(
    "folder",
    [
        *("..", "", "/", ".git", "a\nb", "\udcff", "x" * 300, "𠀀" * 300),
        *("bob's $HOME (x)", "-", "e\u0301"),
    ],
)
def test_a_name_made_from_a_folder_is_one_that_is_taken(folder: str) -> None:
    require_run_name(f"{plain_name(folder)}-20261124-020000", flag="run_name")


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "", "a/b"])
def test_what_a_config_says_of_its_own_place_does_not_count(name: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    asked = json.loads((run / "config.json").read_text())
    for key in ("run_name", "run_dir"):
        write_json(run / "config.json", {**asked, key: name})
        assert read_origin(run).config.path == run


ELSEWHERE = {
    "storage": "/srv/theirs",
    "tracking_uri": "http://theirs.example",
    "ray_address": "ray://theirs.example:10001",
    "data_dir": "/srv/data",
}


def test_a_run_that_was_moved_names_no_place_to_write_to(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    asked = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", {**asked, **ELSEWHERE})
    at_home = read_origin(run).config
    assert {name: getattr(at_home, name) for name in ELSEWHERE} == ELSEWHERE
    moved = run.rename(tmp_path / "stranger")
    config = read_origin(moved).config
    assert (config.storage, config.tracking_uri, config.ray_address) == (None, None, None)
    assert config.data_dir == str(Path("data").resolve())
    assert config.path == moved


def test_a_link_to_a_run_is_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    asked = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", {**asked, **ELSEWHERE})
    (tmp_path / "link").symlink_to(run)
    assert read_origin(tmp_path / "link").config.storage == ELSEWHERE["storage"]
    (run / "inside").symlink_to(run / "plan.json")
    with only_driver(tmp_path / "link"):
        pass


@pytest.mark.parametrize("name", ["log.txt", ".lock", "figures", "predictions/confirm-0000.json"])
def test_a_link_that_leads_out_of_a_run_is_refused(name: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    target = tmp_path / "precious"
    target.write_text("precious")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)
    with pytest.raises(InputError, match="must lead to a place inside it, but"):
        pipeline.run_again(run)
    with pytest.raises(InputError, match="must lead to a place inside it, but"), only_driver(run):
        pass
    assert target.read_text() == "precious"


def test_a_pipe_in_a_run_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    os.mkfifo(run / "log.txt")
    with pytest.raises(InputError, match="must hold files and folders"), only_driver(run):
        pass


@pytest.mark.parametrize("changes", [{"stage": "../../x"}, {"stage": ""}, {"number": -1}])
def test_the_name_of_a_trial_is_no_path(changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {"stage": "search", "number": 0, "role": "proposed", "recipe": TOY}
    with pytest.raises(InputError, match=r"`(stage|number)"):
        TrialSpec(**values | changes)
    data = TrialSpec(**values).to_dict()
    with pytest.raises(InputError, match=r"`(stage|number)"):
        TrialSpec.from_dict(data | changes)
