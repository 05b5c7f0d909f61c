import pytest

from lfi_mflow.data import ColumnMapping, export_events, import_events, write_events
from lfi_mflow.data.optional import require
from lfi_mflow.errors import InputError


def test_a_module_that_is_there():
    assert require("json", "read").loads("[1]") == [1]


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pylhe", None)
    with pytest.raises(InputError) as caught:
        require("pylhe", "read LHE files")
    assert str(caught.value) == (
        "expected the package pylhe to read LHE files, found none; "
        "install it with: pip install 'lfi-mflow[physics]'"
    )


@pytest.mark.parametrize(
    ("name", "package"), [("e.lhe", "pylhe"), ("e.parquet", "pyarrow.parquet")]
)
def test_formats_say_which_package_they_need(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    (tmp_path / name).write_text("anything")
    with pytest.raises(InputError, match=r"lfi-mflow\[physics\]"):
        import_events(tmp_path / name, ColumnMapping(None, ("px",)))


def test_an_export_without_its_package_leaves_nothing(tmp_path, monkeypatch, metadata, make_events):
    write_events(tmp_path / "e.h5", metadata, [make_events(5)], force=False)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match="the package pyarrow to write"):
        export_events(tmp_path / "e.h5", tmp_path / "e.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["e.h5"]
