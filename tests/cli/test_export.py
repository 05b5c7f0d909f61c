"""Events to ROOT and Parquet."""

import json

import numpy as np
import pytest

from lfi_mflow.data import open_events


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_out_and_in_again(run, study, tmp_path, kind):
    root, back = tmp_path / "e.root", tmp_path / "e.h5"
    result = run("export", study.events, "--kind", kind, "--tree", "sim", "-o", root)
    assert result.status == 0, result.err
    assert result.out == f"{root}: 2,000 events, 4 columns in {kind} 'sim'\n"
    with open_events(study.events) as file:
        events, metadata = file.read(), file.metadata
    options = [
        *(word for name in metadata.observable_names for word in ("--observable", name)),
        *(word for name in metadata.parameter_names for word in ("--parameter", name)),
    ]
    assert run("import", root, "--tree", "sim", *options, "-o", back).status == 0
    with open_events(back) as file:
        assert file.metadata.observable_names == metadata.observable_names
        again = file.read()
    assert np.array_equal(again.x, events.x)
    assert np.array_equal(again.theta, events.theta)


def test_parquet_and_json(run, study, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "e.parquet"
    result = run("export", study.events, "-o", path, "--json")
    record = json.loads(result.out)
    assert record["output"] == str(path)
    assert (record["kind"], record["tree"], record["events"]) == ("parquet", None, 2000)
    assert record["columns"]["x"] == ["x0", "x1", "x2"]
    assert run("export", study.events, "-o", path, "--force").out.endswith("columns in Parquet\n")


def test_what_is_refused(refused, study, tmp_path):
    (tmp_path / "e.root").write_bytes(b"precious")
    out = ["-o", tmp_path / "e.root"]
    assert "add --force" in refused(tmp_path, "export", study.events, *out)
    force = [*out, "--force"]
    assert "no such file" in refused(tmp_path, "export", tmp_path / "none.h5", *force)
    kind = refused(tmp_path, "export", study.events, "--kind", "parquet", *force)
    assert "expected ttree or rntuple" in kind
    suffix = refused(tmp_path, "export", study.events, "-o", tmp_path / "e.csv")
    assert "ends in .root or .parquet" in suffix
    same = refused(tmp_path, "export", tmp_path / "e.root", *force)
    assert "an output that is none of the inputs" in same
