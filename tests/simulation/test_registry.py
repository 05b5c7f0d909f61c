import sys
from importlib.metadata import EntryPoint

import pytest

from lfi_mflow.errors import ConfigError, FileFormatError, InputError, UnknownNameError
from lfi_mflow.simulation import (
    available_simulators,
    get_recorded_simulator,
    get_simulator,
    registry,
)


def test_built_in_simulators_are_registered():
    names = list(available_simulators())
    assert {"polynomial-surface", "sphere"} <= set(names)
    assert names == sorted(names)


def test_the_registry_cannot_be_spoiled():
    available_simulators().clear()
    assert available_simulators()


def test_by_name_with_settings():
    assert get_simulator("sphere").manifold_dim == 1
    assert get_simulator("sphere", {"dim": 3}).manifold_dim == 3


def test_by_file(line):
    simulator = get_simulator(line, {"slope": 5.0})
    assert simulator.name == "line"
    assert simulator.slope == 5.0


def test_a_file_is_read_afresh(plugin, line, line_source):
    assert get_simulator(line).name == "line"
    plugin(line_source.replace('name = "line"', 'name = "other line"'))
    assert get_simulator(line).name == "other line"


def test_a_file_may_import_its_neighbours(plugin, line_source):
    plugin("SLOPE = 7.0\n", "neighbour_of_line.py")
    path = plugin("from neighbour_of_line import SLOPE\n" + line_source.replace("2.0):", "SLOPE):"))
    before = list(sys.path)
    assert get_simulator(f"{path}:Line").slope == 7.0
    assert sys.path == before


def test_a_class_may_be_a_dataclass(plugin, line_source):
    # Dataclasses look their module up while they are built.
    text = "from __future__ import annotations\nimport dataclasses\n" + line_source
    text += "\n@dataclasses.dataclass\nclass Other(Line):\n    slope: float = 3.0\n"
    assert get_simulator(f"{plugin(text)}:Other").slope == 3.0


@pytest.mark.parametrize(
    ("spec", "settings", "error", "message"),
    [
        ("polynomial-surfce", {}, UnknownNameError, "did you mean 'polynomial-surface'"),
        ("qqq", {}, UnknownNameError, "known are: .*or give path/to/file.py:Class"),
        ("sphere", {"dims": 2}, UnknownNameError, "did you mean 'dim'"),
        ("sphere", {"dim": 0}, InputError, "dimension 1 or more"),
        ("sphere", {"dim": "two"}, InputError, "TypeError"),
        ("missing.py:Line", {}, FileFormatError, "no such file"),
        ("missing.py", {}, InputError, "add the name of the class"),
        ("module:Line", {}, InputError, "path/to/file.py:Class"),
    ],
)
def test_what_cannot_be_found(spec, settings, error, message):
    with pytest.raises(error, match=message):
        get_simulator(spec, settings)


@pytest.mark.parametrize(
    ("text", "spec", "error", "message"),
    [
        (None, "Lin", UnknownNameError, "did you mean 'Line'"),
        (None, "np", InputError, "name a class"),
        ("import no_such_module_here\n", "Line", InputError, "ModuleNotFoundError.*no_such_module"),
        ("class Line\n", "Line", InputError, "SyntaxError"),
        ("class Line:\n    name = 'a'\n", "Line", InputError, "without parameters, observables"),
        ("class Line:\n    def __init__(self, a): pass\n", "Line", ConfigError, "argument: 'a'"),
        ("class Line:\n    def __init__(self): 1 / 0\n", "Line", InputError, "ZeroDivisionError"),
    ],
)
def test_files_that_hold_no_simulator(plugin, text, spec, error, message):
    path = plugin() if text is None else plugin(text)
    with pytest.raises(error, match=message):
        get_simulator(f"{path}:{spec}")


def test_a_file_that_cannot_be_imported_leaves_no_module(plugin):
    before = set(sys.modules)
    with pytest.raises(InputError, match="see that this works: python"):
        get_simulator(f"{plugin('1 / 0')}:Line")
    assert set(sys.modules) == before


def test_a_constructor_with_keywords_takes_any_setting(plugin, line_source):
    text = line_source + "\n\nclass Free(Line):\n    def __init__(self, **free):\n"
    text += "        super().__init__(free['tilt'])\n"
    assert get_simulator(f"{plugin(text)}:Free", {"tilt": 4.0}).slope == 4.0


def test_a_broken_entry_point(monkeypatch):
    entry = EntryPoint("broken", "no_such_package_here:Thing", "lfi_mflow.simulators")
    monkeypatch.setattr(registry, "_registered", lambda: {"broken": entry})
    with pytest.raises(InputError, match="reinstall"):
        get_simulator("broken")


def test_code_that_a_file_names_is_not_run_unasked(plugin, line_source, tmp_path):
    path = plugin(f"open({str(tmp_path / 'run')!r}, 'w').close()\n" + line_source)
    with pytest.raises(InputError, match=r"if you trust it, add --simulator .*:Line"):
        get_recorded_simulator(f"{path}:Line", {})
    assert not (tmp_path / "run").exists()
    assert get_recorded_simulator(f"{path}:Line", {"slope": 4.0}, f"{path}:Line").slope == 4.0
    assert (tmp_path / "run").exists()


def test_a_registered_simulator_that_a_file_names_is_built():
    assert get_recorded_simulator("sphere", {"dim": 3}).manifold_dim == 3
