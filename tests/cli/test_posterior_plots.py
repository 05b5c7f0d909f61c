"""Figures of a posterior as PNG files."""

import json

import pytest

PNG = b"\x89PNG"


@pytest.fixture
def command(study, tmp_path):
    """The command that infers and draws."""
    infer = ["infer", study.model, "--observed", study.observed, "--method", "grid"]
    return [*infer, "--threads", 1, "-o", tmp_path / "p.nc", "--plots", tmp_path / "plots"]


def test_the_figures_are_written_and_not_replaced(run, refused, command, tmp_path):
    result = run(*command, "--json")
    assert result.status == 0, result.err
    record = json.loads(result.out)
    names = ["corner", "profile", "predictive", "off_manifold"]
    assert record["plots"] == [str(tmp_path / "plots" / f"{name}.png") for name in names]
    assert record["predictive_p_values"].keys() == {"x0", "x1", "x2"}
    for path in (tmp_path / "plots").iterdir():
        assert path.read_bytes().startswith(PNG)
    assert len(list((tmp_path / "plots").iterdir())) == len(names)
    (tmp_path / "p.nc").unlink()
    line = refused(tmp_path, *command)
    assert "plots/corner.png, found one that exists" in line
    assert run(*command, "--force").status == 0


def test_a_folder_that_is_none_is_refused(refused, command, tmp_path):
    (tmp_path / "plots").write_text("a file")
    assert "expected a folder for the figures" in refused(tmp_path, *command)
    command[-1] = tmp_path / "none" / "plots"
    assert "mkdir -p" in refused(tmp_path, *command)


def test_bad_input_leaves_no_folder(refused, command, tmp_path):
    command[3] = tmp_path / "none.h5"
    refused(tmp_path, *command)
