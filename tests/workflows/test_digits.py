"""The digits: images as events, what is measured of them, rules that fit together."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave
from sklearn.datasets import load_digits

from lfi_mflow.charts import PIXEL
from lfi_mflow.data import open_events
from lfi_mflow.flows import Dimensions, build_flow, save_model
from lfi_mflow.training import Phase, RunConfig, read_run_config, train_model

STUDY = Path(__file__).parents[2] / "workflows" / "injective" / "digits"


@pytest.fixture
def run(script, tmp_path, monkeypatch):
    """Run the script that writes images; the two files."""

    def run(*images, seed=1):
        paths = tmp_path / f"train-{seed}.h5", tmp_path / f"test-{seed}.h5"
        options = ["--train", paths[0], "--test", paths[1], "--seed", seed]
        arguments = ["digits.py", *images, *options]
        monkeypatch.setattr(sys, "argv", [str(part) for part in arguments])
        script("injective/digits/digits.py").main()
        return paths

    return run


@pytest.fixture
def pictures(tmp_path):
    """Write PNG files of 4 x 6 pixels in colour, the last one of another shape."""

    def write(last=(4, 6)):
        paths = [tmp_path / f"{i}.png" for i in range(12)]
        for i, path in enumerate(paths):
            shape = last if i == 11 else (4, 6)
            image = np.full((*shape, 3), 20 * i, dtype=np.uint8)
            image[0, 1] = (1, 2, 3)
            imsave(path, image)
        return paths

    return write


def _read(path):
    with open_events(path) as file:
        return file.metadata, file.read()


def test_the_digits_are_whole_numbers_with_noise(run):
    (metadata, train), (_, test) = map(_read, run())
    assert (len(train), len(test)) == (1438, 359)
    assert train.theta.shape == (1438, 0)
    assert [observable.unit for observable in metadata.observables] == [PIXEL] * 64
    assert metadata.observables[9].name == "pixel_0_1_1"
    assert "noise" in metadata.provenance["dequantised"]
    x = np.concatenate([train.x, test.x]) * 17
    whole = np.floor(x)
    digits = load_digits().data
    # each image is in one of the files, once
    assert {tuple(row) for row in whole} == {tuple(row) for row in digits}
    assert np.array_equal(np.sort(whole.sum(axis=1)), np.sort(digits.sum(axis=1)))
    noise = x - whole
    assert abs(noise.mean() - 0.5) < 0.01
    assert abs(noise.std() - 12**-0.5) < 0.01


def test_the_seed_decides_who_is_held_out(run):
    first, again, other = (_read(run(seed=seed)[1])[1].x for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(np.floor(17 * first), np.floor(17 * other))


def test_pictures_of_ones_own(run, pictures):
    (metadata, train), (_, test) = map(_read, run(*pictures()))
    x = np.floor(256 * np.concatenate([train.x, test.x])).reshape(12, -1, 4, 6)
    assert sorted(x[:, 0, 3, 5]) == [20 * i for i in range(12)]
    assert x[5, :3, 0, 1].tolist() == [1, 2, 3]
    assert metadata.observables[24].name == "pixel_1_0_0"


def test_images_of_unequal_shape_are_one_line(run, pictures, capsys, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        run(*pictures(last=(4, 5)))
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "images of one shape, that of" in line
    assert "0.png: 4 x 6 pixels" in line
    assert "found 4 x 5 pixels" in line
    assert "11.png; crop, pad or scale" in line
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize("damage", ["missing", "text", "few"])
def test_files_that_are_no_images_are_one_line(run, pictures, capsys, damage):
    paths = pictures()
    if damage == "missing":
        paths[3].unlink()
    elif damage == "text":
        paths[3].write_text("no image")
    else:
        paths = paths[:9]
    with pytest.raises(SystemExit, match="2"):
        run(*paths)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert ("10 images or more, found 9" if damage == "few" else "3.png") in line


def test_every_row_has_a_training_file_that_builds():
    yaml = pytest.importorskip("yaml", reason="Snakemake, which brings it, is not installed")
    rows = yaml.safe_load((STUDY / "config.yaml").read_text())["rows"]
    assert {path.stem for path in STUDY.glob("*.toml")} == set(rows)
    for row in rows:
        config = read_run_config(STUDY / f"{row}.toml")
        assert build_flow(config.model, Dimensions(64, config.latent_dim, 0), config.settings)
        assert config.schedule


@pytest.mark.parametrize("kind", ["", "-convolutional"])
def test_the_rows_of_the_ablation_differ_in_their_phases_alone(kind):
    jointly, apart = (
        tomllib.loads((STUDY / f"{name}{kind}.toml").read_text()) for name in ("fif", "two-steps")
    )
    assert {**jointly, "phases": apart["phases"]} == apart


def test_what_is_measured(script, run, tmp_path):
    """Of a model that is the plane of the principal axes."""
    train, test = run()
    phases = (Phase("latent", "latent-likelihood", 1, 400, 1e-3),)
    config = RunConfig(model="fif", latent_dim=3, phases=phases)
    save_model(train_model(train, config), tmp_path / "model.mflow")
    x = _read(test)[1].x
    found = script("injective/digits/measure.py").measure(tmp_path / "model.mflow", x, seed=1)
    known = _read(train)[1].x
    axes = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)[2][:3]
    centred = x - known.mean(axis=0)
    error = np.sqrt(((centred - centred @ axes.T @ axes) ** 2).mean())
    assert found["pixel_rmse"] == pytest.approx(found["plane_rmse"], rel=1e-4)
    assert found["plane_rmse"] == pytest.approx(error, rel=0.03)  # a tenth only validates
    assert found["latent_mismatch"] < 1e-5
    assert found["sample_mmd2"] > 0


@pytest.mark.parametrize(
    "options", [["--dry-run"], pytest.param(["--quiet"], marks=pytest.mark.slow)]
)
def test_the_rules_fit_together(snakemake, options, tmp_path):
    said = snakemake("injective/digits", tmp_path, *options)
    if "--dry-run" in options:
        assert "rule picture" in said
    else:
        table = (tmp_path / "table.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in table[1:]] == ["fif-convolutional", "two-steps"]
        assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
