"""A Ray cluster that is already there: connecting to it, and what its nodes have and reach."""

import importlib.metadata
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.engine.cluster_answer import require_answer
from search.engine.ray_private import hush_shipping
from search.engine.storage import delete_probe, first_line, read_probe, write_probe
from search.records.provenance import ROOT
from spaces.errors import InputError
from trainable.data.streamed_images import StreamedImages

T = TypeVar("T")

SHIPPED = ("spaces", "search", "trainable", "pyproject.toml")
CODE = {
    "working_dir": str(ROOT),
    # Only the packages, not data, runs and environment. Without the second pattern the first one
    # would leave out the directory itself.
    "excludes": ["/*", "!/.", *(f"!/{name}" for name in SHIPPED), "__pycache__"],
}
"""What is sent to every node: the code of this driver, whatever is installed there."""
SAME_EVERYWHERE = ("torch", "torchvision", "timm", "numpy", "pyarrow")
"""Packages whose versions nodes share with the driver, or numbers would depend on the node."""
ANSWER_S = 120.0
"""Seconds a node has to unpack the code and answer."""


def connect(address: str) -> None:
    """Connect this process to a cluster, unless it is connected.

    Raises:
        InputError: If there is none at this address, or one of other versions.
    """
    if ray.is_initialized():
        return
    if address.startswith("ray://"):
        raise InputError(
            f"`ray_address` must be `auto` or host:port, for the driver must run on a machine of "
            f"the cluster, but got {address}; run it there, for example with `ray job submit`."
        )
    require_answer(address)
    hush_shipping()
    try:
        ray.init(
            address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=CODE
        )
    # Ray says with these that there is no cluster, or one of another Ray, Python or token.
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise InputError(
            f"`ray_address` must be that of a running cluster, but {address} is not: "
            f"{first_line(error)}"
        ) from error


def num_places(*, cpus_per_trial: float, gpus_per_trial: float) -> int:
    """Trials that fit on the nodes that are there now."""
    return sum(_fitting(node, cpus_per_trial, gpus_per_trial) for node in _nodes())


def has_gpu() -> bool:
    """Whether a node has a GPU."""
    return any(node["Resources"].get("GPU") for node in _nodes())


def call_where_trials_fit(
    function: Callable[[], T], *, cpus_per_trial: float, gpus_per_trial: float
) -> T:
    """Call a function on a node of the cluster, with the cores and GPUs that a trial gets there."""
    remote: Any = ray.remote(num_cpus=cpus_per_trial, num_gpus=gpus_per_trial, max_calls=1)(_call)
    answer: T = ray.get(remote.remote(function))
    return answer


def require_reach(storage: str, *, cpus_per_trial: float, gpus_per_trial: float) -> None:
    """Refuse a cluster whose nodes would fail hours later, at their first checkpoint.

    Raises:
        InputError: If a node where trials fit cannot read and write the storage, or has other
            versions of the libraries that train.
    """
    versions = {name: importlib.metadata.version(name) for name in SAME_EVERYWHERE}
    probe = write_probe(storage)
    try:
        answers = _ask_nodes(
            cpus_per_trial, gpus_per_trial, ray.remote(_what_fails), storage, probe, versions
        )
    finally:
        delete_probe(storage, probe)
    for host, answer in answers.items():
        if answer:
            raise InputError(f"Every node must be able to run trials, but {host} is not: {answer}")


def require_images(
    images: object, *, data_dir: str, cpus_per_trial: float, gpus_per_trial: float
) -> None:
    """Refuse images that are read from a disk which nodes do not have.

    Images in memory travel to each node once. Those that do not fit into memory are read from their
    files by every trial.

    Raises:
        InputError: If a node where trials fit cannot read them.
    """
    if not isinstance(images, StreamedImages):
        return
    read = ray.remote(_what_fails_to_read)
    for host, answer in _ask_nodes(cpus_per_trial, gpus_per_trial, read, images).items():
        if answer:
            raise InputError(
                f"These images do not fit into memory, so every node must have their files at the "
                f"same path, but {host} has not: {answer} Put dataset and --data-dir ({data_dir}) "
                "on a disk that all nodes mount, or give a smaller --num-train or --image-size."
            )


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in found if node["Alive"]]


def _fitting(node: dict[str, Any], cpus_per_trial: float, gpus_per_trial: float) -> int:
    has = node["Resources"]
    places = int(has.get("CPU", 0.0) / cpus_per_trial)
    if gpus_per_trial:
        # Two trials cannot share halves of two GPUs.
        per_gpu = 1 / gpus_per_trial
        gpus = has.get("GPU", 0.0)
        places = min(places, int(gpus) * int(per_gpu) if per_gpu >= 1 else int(gpus * per_gpu))
    return places


def _ask_nodes(
    cpus_per_trial: float, gpus_per_trial: float, function: Any, *args: Any
) -> dict[str, str]:
    """What each node that trials fit on answers, by host; a node that fails answers with that."""
    asked = {}
    for node in _nodes():
        if _fitting(node, cpus_per_trial, gpus_per_trial):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = function.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            asked[f"{node['NodeManagerHostname']} ({node['NodeID'][:8]})"] = task.remote(*args)
    answers = {}
    for host, reference in asked.items():
        try:
            answers[host] = ray.get(reference, timeout=ANSWER_S)
        except GetTimeoutError:
            answers[host] = f"it did not answer within {ANSWER_S:.0f} s."
        except RayError as error:
            answers[host] = str(error).strip().splitlines()[-1]
    return answers


def _call(function: Callable[[], T]) -> T:
    return function()


def _what_fails(storage: str, probe: str, versions: Mapping[str, str]) -> str:
    for name, version in versions.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found.partition("+")[0] != version.partition("+")[0]:
            return f"{name} is {found} there and {version} here; install the same environment."
    failed = read_probe(storage, probe)
    if failed:
        return (
            f"it cannot read and write {storage}: {failed} Give --storage a directory that all "
            "nodes mount, or a URI as s3://bucket/runs."
        )
    return ""


def _what_fails_to_read(images: StreamedImages) -> str:
    try:
        images[np.array([0])]
    except (OSError, RuntimeError) as error:
        return first_line(error)
    return ""
