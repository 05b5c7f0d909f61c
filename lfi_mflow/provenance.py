"""Where a file came from: versions, command and time."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

__all__ = ["provenance"]

_PACKAGES = ("lfi-mflow", "numpy", "h5py", "torch", "zuko", "sbi")


def provenance() -> dict[str, str]:
    """Return package versions, platform, command line and time of creation.

    The versions are read from the installed metadata: nothing is imported.
    """
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{f"version_{package}": version for package, version in versions.items()},
    }
