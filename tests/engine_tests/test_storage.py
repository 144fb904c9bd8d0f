"""Checkpoints are found where they were put: under a path or under a URI."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from pyarrow import fs
from ray import tune

from search.engine.border import config_of
from search.engine.conductor import Conductor
from search.engine.searcher import CheckpointNotes
from search.engine.storage import (
    below,
    delete_folder,
    delete_probe,
    is_below,
    local_checkpoint,
    location_of,
    parent_of,
    read_probe,
    write_probe,
)
from search.records.journal import Journal
from search.records.trials import Trial as Journaled
from search.records.trials import TrialSpec
from spaces.errors import InputError
from spaces.recipe import Recipe
from tests.support.toy_training import TOY, toy_dataset
from trainable import checkpoint
from trainable.ray_trainable import RecipeTrainable
from trainable.trainer import Trainer


@pytest.mark.parametrize(
    ("storage", "place"),
    [
        ("/runs", "/runs/my run/ray"),
        ("/", "/my run/ray"),
        ("s3://bucket", "s3://bucket/my%20run/ray"),
        ("s3://bucket/runs/", "s3://bucket/runs/my%20run/ray"),
        (
            "s3://bucket/runs?region=eu-west-1&scheme=http",
            "s3://bucket/runs/my%20run/ray?region=eu-west-1&scheme=http",
        ),
        ("file:///a%20b", "file:///a%20b/my%20run/ray"),
    ],
)
def test_a_place_further_down_keeps_how_to_connect(storage: str, place: str) -> None:
    assert below(storage, "my run", "ray") == place


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_pyarrow_opens_what_the_place_is_called(tmp_path: Path, scheme: str) -> None:
    root = tmp_path / "with space, % and ü"
    storage = f"{scheme}{quote(str(root)) if scheme else root}"
    place = below(storage, "my run", "ray")
    filesystem, path = fs.FileSystem.from_uri(place)
    filesystem.create_dir(path)
    assert (root / "my run" / "ray").is_dir()
    _, storage_path = fs.FileSystem.from_uri(storage)
    assert location_of(storage, storage_path, path) == place


class Trial(RecipeTrainable):
    """The trainable with its images, as Tune makes it."""

    def setup(self, config: dict[str, Any], *given: Any, **more: Any) -> None:
        super().setup(config, dataset=toy_dataset())


@pytest.mark.parametrize("kind", ["path", "uri", "bucket", "gone"])
def test_a_trial_goes_on_from_wherever_its_state_lies(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "runs" / "a trial" / "checkpoint_000001"
    directory.mkdir(parents=True)
    dataset = toy_dataset()
    earlier = Trainer(TOY, dataset, dataset.split)
    earlier.train_epoch()
    checkpoint.save(earlier, directory)

    locations = {
        "path": str(directory),
        "uri": f"file://{quote(str(directory))}",
        "bucket": "s3://bucket/runs/a%20trial/checkpoint_000001",
        "gone": str(tmp_path / "moved"),
    }
    if kind == "bucket":  # An object store's paths have no leading slash and no directories.
        bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
        inside = {locations["bucket"]: "runs/a trial/checkpoint_000001"}
        opened = partial(tune.Checkpoint, filesystem=bucket)
        monkeypatch.setattr(tune, "Checkpoint", lambda location: opened(inside[location]))
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=TOY)
    trial = Trial(config=config_of(Journaled(spec=spec), checkpoint=locations[kind]))
    again = trial.train()  # type: ignore[no-untyped-call]
    if kind == "gone":
        assert again["epoch"] == 1
    else:
        assert again["epoch"] == 2
        assert again["metrics"]["train/loss"] == earlier.train_epoch()["train/loss"]


def test_the_journal_holds_a_location_that_opens_without_tune(tmp_path: Path) -> None:
    storage = "s3://bucket/runs/r1/ray?region=eu-west-1"
    journal = Journal(tmp_path)
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe())
    journal.start(spec)

    opened = SimpleNamespace(storage_fs_path="bucket/runs/r1/ray")
    config = config_of(Journaled(spec=spec), checkpoint=None)
    trial = SimpleNamespace(config=config, storage=opened)
    saved = SimpleNamespace(path="bucket/runs/r1/ray/session-1/search-0000/checkpoint_000003")
    notes = CheckpointNotes(Conductor(journal, []), storage)
    notes.on_checkpoint(1, [], trial, saved)
    journal.close()
    assert Journal(tmp_path).trials[spec.trial_id].checkpoint == (
        "s3://bucket/runs/r1/ray/session-1/search-0000/checkpoint_000003?region=eu-west-1"
    )


def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/new"
    probe = write_probe(storage)
    assert read_probe(storage, probe) == ""
    delete_probe(storage, probe)
    assert list((tmp_path / "new").iterdir()) == []
    assert "No such file" in read_probe(storage, probe)


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("nope://bucket/runs", "`storage` must be writable, but nope://bucket/runs is not"),
        ("file:///proc/nothing", "`storage` must be writable"),
        ("s3://key:secret@bucket/runs", "`storage` must hold no password"),
    ],
)
def test_a_storage_that_cannot_be_written_is_refused_without_its_secrets(
    storage: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        write_probe(storage)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("storage", "location", "inside"),
    [
        ("/runs/r1/ray", "/runs/r1/ray/session/confirm-0000", True),
        ("/runs/r1/ray", "/runs/r1/ray", True),
        ("/runs/r1/ray", "/runs/r1/ray/../../r2/ray", False),
        ("/runs/r1/ray", "/runs/r1/rays", False),
        ("/runs/r1/ray", "/", False),
        ("/runs/r1/ray", "s3://bucket/runs/r1/ray", False),
        ("s3://bucket/r1/ray?region=a", "s3://bucket/r1/ray/x?region=a", True),
        ("s3://bucket/r1/ray", "s3://bucket/r1/ray/%2E%2E/x", False),
        ("s3://bucket/r1/ray", "s3://other/r1/ray/x", False),
        ("s3://bucket/r1/ray", "gs://bucket/r1/ray/x", False),
        ("s3://bucket/r1/ray", "s3://bucket/r1/ray/x?endpoint_override=elsewhere", False),
        ("s3://bucket/r1/ray", "/r1/ray/x", False),
    ],
)
def test_a_location_is_below_a_storage_only_if_it_is(
    storage: str, location: str, inside: bool
) -> None:
    assert is_below(storage, location) is inside


@pytest.mark.parametrize("storage", ["/runs/r1", "s3://bucket/runs/my%20r1?region=eu-west-1"])
def test_the_parent_of_a_place_further_down_is_where_one_came_from(storage: str) -> None:
    assert parent_of(below(storage, "session, 1")) == storage


@pytest.mark.parametrize("kind", ["path", "uri", "bucket"])
def test_a_checkpoint_is_read_and_deleted_wherever_it_lies(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "a trial" / "checkpoint_000001"
    folder.mkdir(parents=True)
    (folder / "state").write_bytes(b"weights")
    place = {"path": str(folder), "uri": f"file://{quote(str(folder))}", "bucket": "s3://b/r"}[kind]
    if kind == "bucket":  # An object store is no file system of this machine.
        bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
        opened = (bucket, "runs/a trial/checkpoint_000001")
        fake = SimpleNamespace(from_uri=lambda location: opened)
        monkeypatch.setattr("search.engine.storage.FileSystem", fake)

    with local_checkpoint(place) as found:
        assert (found / "state").read_bytes() == b"weights"
    assert found.exists() == (kind != "bucket")
    delete_folder(place)
    assert not folder.exists()
    delete_folder(place)
    with (
        pytest.raises(FileNotFoundError, match="There is no checkpoint in"),
        local_checkpoint(place),
    ):
        pass
