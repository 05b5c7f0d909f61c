import json

import numpy as np
import pytest

from lfi_mflow.errors import FileFormatError
from lfi_mflow.inference.limits_file import Limits, level_name

ROW = {"best_fit": 0.1, "error": np.nan, "values": np.linspace(0, 1, 3), "at_limit": np.bool_(True)}


def test_it_comes_back_as_it_was_written(tmp_path):
    limits = Limits({"theta": ROW}, data={"events": 12.0, "kind": "observed"})
    limits.save(tmp_path / "l.json")
    found = Limits.load(tmp_path / "l.json")
    row = found.parameters["theta"]
    assert row == {"best_fit": 0.1, "error": None, "values": [0.0, 0.5, 1.0], "at_limit": True}
    assert found.data == limits.data
    assert found.provenance == limits.provenance


@pytest.mark.parametrize(
    "content", ["", "[]", '{"metrics": {}}', '{"format": "lfi-mflow limits"}', b"\xff\xfe"]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "l.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFormatError, match="make them again with: lfi-mflow limits"):
        Limits.load(path)


def test_another_version_is_refused(tmp_path):
    table = {**Limits({}).to_table(), "schema_version": 2}
    (tmp_path / "l.json").write_text(json.dumps(table))
    with pytest.raises(FileFormatError, match="version 2 of lfi-mflow limits"):
        Limits.load(tmp_path / "l.json")


def test_levels_are_called_by_per_cent():
    assert [level_name(level) for level in (0.68, 0.95, 0.9973)] == ["68", "95", "99.73"]
