import json
import platform
import sys
from datetime import datetime, timedelta
from importlib import metadata

import pytest

from lfi_mflow import __version__
from lfi_mflow.provenance import provenance


def test_what_is_recorded(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/a/b/lfi-mflow", "simulate", "-o", "my file.h5"])
    record = provenance()
    assert record["command"] == "lfi-mflow simulate -o 'my file.h5'"
    assert record["python"] == platform.python_version()
    assert record["version_numpy"] == metadata.version("numpy")
    assert record["version_lfi-mflow"] == __version__
    created = datetime.fromisoformat(record["created"])
    assert abs(datetime.now(created.tzinfo) - created) < timedelta(minutes=1)
    assert json.loads(json.dumps(record)) == record


def test_packages_that_are_not_installed_are_left_out(monkeypatch):
    def version(name: str) -> str:
        if name == "sbi":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    record = provenance()
    assert "version_sbi" not in record
    assert record["version_torch"] == "1.0"


@pytest.mark.parametrize("key", ["command", "created", "python", "platform"])
def test_keys_are_text(key):
    assert isinstance(provenance()[key], str)
