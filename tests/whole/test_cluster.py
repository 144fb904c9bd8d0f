"""A search on a cluster of several Ray nodes, which here all are processes of one machine."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from search.records.provenance import ROOT
from tests.support.cluster_control import Nodes, Search, lines
from tests.support.cluster_search import EPOCHS, NUM_TRIALS, specs
from tests.support.programs.forked import Forked
from tests.support.toy_training import toy_dataset
from trainable.trainer import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The files of the disturbed search, and the disturbances."""

    search: Search
    killed_node: str
    moved: str
    joined_node: str
    hit_by_driver: set[str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    nodes = Nodes(2)
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def outcome(cluster: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Spread over two nodes, kill one, let another join, kill the driver, go on."""
    path = tmp_path_factory.mktemp("cluster")
    # Three: two from the beginning and one that joins.
    search = Search(cluster=cluster, path=path, storage=f"file://{path}/with%20space", num_nodes=3)
    try:
        return disturb(search)
    finally:
        search.process.kill()
        search.process.communicate()


def disturb(search: Search) -> Outcome:
    cluster = search.cluster
    search.start()
    search.wait_until("a trial on each node", lambda: len(search.nodes()) == 2)
    victim = cluster.ids[-1]
    search.wait_until("a checkpoint there", lambda: bool(search.running_on(victim)))
    (moved,) = search.running_on(victim)
    cluster.kill(victim)
    joined = cluster.add()
    search.wait_until("a trial on the new node", lambda: joined in search.nodes())
    search.wait_until("a checkpoint there", lambda: bool(search.running_on(joined)))
    search.process.kill()
    search.process.communicate()
    saved = {event["trial_id"] for event in search.events("checkpoint")}
    ended = {event["trial_id"] for event in search.events("end")}
    search.start()
    _, errors = search.process.communicate(timeout=240)
    assert search.process.returncode == 0, errors
    return Outcome(
        search=search,
        killed_node=victim,
        moved=moved,
        joined_node=joined,
        hit_by_driver=saved - ended,
    )


def test_no_epoch_is_lost_or_doubled_when_nodes_and_driver_die(outcome: Outcome) -> None:
    epochs: dict[str, list[int]] = {}
    for record in lines(outcome.search.path / "records.jsonl"):
        epochs.setdefault(record["trial_id"], []).append(record["epoch"])
    assert epochs == {spec.trial_id: list(range(1, EPOCHS + 1)) for spec in specs()}
    ended = outcome.search.events("end")
    assert [event["status"] for event in ended] == ["finished"] * NUM_TRIALS


def test_a_trial_of_a_killed_node_goes_on_elsewhere_from_its_checkpoint(outcome: Outcome) -> None:
    places = [e for e in outcome.search.events("place") if e["trial_id"] == outcome.moved]
    assert places[0]["node"] == outcome.killed_node
    assert places[1]["node"] != outcome.killed_node
    told = lines(outcome.search.path / "told.jsonl")
    first = told[0]["session"]
    epochs = [t["epoch"] for t in told if t["trial_id"] == outcome.moved and t["session"] == first]
    # Starting over would report epoch 1 a second time.
    assert epochs.count(1) == 1


def test_a_node_that_joins_is_used_and_a_killed_one_never_again(outcome: Outcome) -> None:
    events = outcome.search.events("place")
    nodes = [event["node"] for event in events]
    assert outcome.joined_node in nodes
    joined_at = nodes.index(outcome.joined_node)
    assert outcome.killed_node in nodes[:joined_at]
    assert outcome.killed_node not in nodes[joined_at:]


def test_a_new_driver_goes_on_from_checkpoints_that_lie_under_a_uri(outcome: Outcome) -> None:
    checkpoints = outcome.search.events("checkpoint")
    assert checkpoints
    for event in checkpoints:
        assert event["path"].startswith(f"{outcome.search.storage}/session-")
    told = lines(outcome.search.path / "told.jsonl")
    second = told[-1]["session"]
    assert second != told[0]["session"]
    assert outcome.hit_by_driver
    for trial_id in outcome.hit_by_driver:
        epochs = [t["epoch"] for t in told if (t["session"], t["trial_id"]) == (second, trial_id)]
        assert epochs[0] > 1, trial_id


def test_numbers_are_those_of_one_process_on_one_machine(outcome: Outcome) -> None:
    dataset = toy_dataset()
    records = {(r["trial_id"], r["epoch"]): r for r in lines(outcome.search.path / "records.jsonl")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for spec in specs():
            trainer = Trainer(spec.recipe, dataset, dataset.split)
            for epoch in range(1, EPOCHS + 1):
                expected = trainer.train_epoch()
                if epoch in (*spec.eval_epochs, EPOCHS):
                    expected |= trainer.evaluate("val")
                found = records[spec.trial_id, epoch]
                for name, value in expected.items():
                    assert name.startswith("cost/") or found[name] == value, (spec, epoch, name)
    finally:
        torch.set_num_threads(threads)


def test_nodes_run_the_code_of_the_driver_and_share_the_images(outcome: Outcome) -> None:
    nodes = json.loads((outcome.search.path / "images.json").read_text())
    assert len(nodes) == 2
    for node in nodes:
        assert node["copied"] is False
        assert not node["code"].startswith(str(ROOT))


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        # Each process has a working directory of its own there: a disk that no node shares.
        ("file:///proc/self/cwd/runs", "Give --storage a directory that all nodes mount"),
        ("file:///proc/nothing", "`storage` must be writable"),
    ],
)
def test_a_storage_that_nodes_cannot_reach_is_told_in_one_line(
    cluster: Nodes, tmp_path: Path, storage: str, says: str
) -> None:
    arguments = ["--dataset", "small-transfer", "--run-dir", str(tmp_path / "runs")]
    there = ["--ray-address", cluster.address, "--storage", storage]
    process = Forked("search", ["run", *arguments, *there], has_one_output=False)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert out == f"Talks to: storage at {storage}, Ray at {cluster.address}.\n"
    assert len(errors.splitlines()) == 1, errors
    assert says in errors
    assert not (tmp_path / "runs").exists()
