"""Connection to a running Ray cluster, and checks of its nodes."""

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
    # Send the packages only, not data, runs and environment. Without the second pattern the first
    # one would exclude the directory itself.
    "excludes": ["/*", "!/.", *(f"!/{name}" for name in SHIPPED), "__pycache__"],
}
"""Ray's runtime environment: this driver's code is sent to every node."""
SAME_EVERYWHERE = ("torch", "torchvision", "timm", "numpy", "pyarrow")
"""Packages whose versions must equal the driver's on all nodes, so that results do."""
ANSWER_S = 120.0
"""Seconds that a node may take to unpack the code and answer."""


def connect(address: str) -> None:
    """Connect this process to a cluster, unless it is connected already.

    Raises:
        InputError: If there is no cluster at this address, or it has other versions.
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
    # Ray's errors for a missing cluster, or for another version of Ray or Python or token.
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise InputError(
            f"`ray_address` must be that of a running cluster, but {address} is not: "
            f"{first_line(error)}"
        ) from error


def num_places(*, cpus_per_trial: float, gpus_per_trial: float) -> int:
    """Count the trials that fit on the cluster's present nodes at once."""
    return sum(_fitting(node, cpus_per_trial, gpus_per_trial) for node in _nodes())


def has_gpu() -> bool:
    """Whether any node of the cluster has a GPU."""
    return any(node["Resources"].get("GPU") for node in _nodes())


def call_where_trials_fit(
    function: Callable[[], T], *, cpus_per_trial: float, gpus_per_trial: float
) -> T:
    """Call a function on a node of the cluster with the cores and GPUs of a trial."""
    remote: Any = ray.remote(num_cpus=cpus_per_trial, num_gpus=gpus_per_trial, max_calls=1)(_call)
    answer: T = ray.get(remote.remote(function))
    return answer


def require_reach(storage: str, *, cpus_per_trial: float, gpus_per_trial: float) -> None:
    """Raise if a node of the cluster could not write checkpoints or has other libraries.

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
    """Raise if images are read from files that a node of the cluster does not have.

    Images in memory are sent to each node once. Images that do not fit into memory are read from
    their files by every trial.

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
        # A trial's share must be on a single GPU, not on parts of two.
        per_gpu = 1 / gpus_per_trial
        gpus = has.get("GPU", 0.0)
        places = min(places, int(gpus) * int(per_gpu) if per_gpu >= 1 else int(gpus * per_gpu))
    return places


def _ask_nodes(
    cpus_per_trial: float, gpus_per_trial: float, function: Any, *args: Any
) -> dict[str, str]:
    """Call a remote function on each node with room for a trial; return answer or error by host."""
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
