"""The list of models."""

import json

from lfi_mflow.cli.models import _DENSITIES
from lfi_mflow.flows import PRESETS


def test_every_preset_is_listed_with_its_paper(run):
    result = run("models")
    assert result.status == 0
    for preset in PRESETS.values():
        assert preset.name in result.out
        assert preset.source in result.out
        assert _DENSITIES[preset.reference] in result.out
        assert preset.limits in result.out
        assert f"{preset.algorithms[0]} (default)" in result.out


def test_json_says_what_the_density_refers_to(run):
    records = json.loads(run("models", "--json").out)
    assert [row["name"] for row in records] == list(PRESETS)
    (record,) = (row for row in records if row["name"] == "m-flow")
    assert record["algorithms"] == list(PRESETS["m-flow"].algorithms)
    assert record["reference"] == "hausdorff"
    assert "not comparable with ambient densities" in record["density"]
