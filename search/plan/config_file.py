"""``config.json`` of a run directory, which tells whether the run was made in this directory."""

from dataclasses import replace
from pathlib import Path

from search.plan.config import RunConfig
from search.records.files import read_json, write_json
from search.records.home import Home

FILE = "config.json"


def read_config(run_dir: Path) -> RunConfig:
    """Read the settings of the run in a directory; see `RunConfig.from_dict`.

    Raises:
        InputError: If there is no such file of this version.
    """
    return RunConfig.from_dict(read_json(run_dir / FILE), path=run_dir)


def write_config(config: RunConfig, *, begins: bool = False) -> RunConfig:
    """Write the settings into the run's directory, which must exist.

    Args:
        config: The run's settings.
        begins: Whether the run begins with it. A run that was resumed in a directory in which it
            did not begin stays one that began elsewhere.

    Returns:
        The same settings, with the directory as their home.
    """
    has_begun = begins or (config.home is not None and config.home.has_begun)
    settled = replace(config, home=Home.at(config.path, has_begun=has_begun))
    write_json(config.path / FILE, settled.to_dict())
    return settled
