import subprocess
import sys

from lfi_mflow import data


def test_the_exported_names():
    assert sorted(data.__all__) == data.__all__
    assert set(data.__all__) == {
        "ColumnMapping",
        "EventFile",
        "EventMetadata",
        "EventSource",
        "ExportReport",
        "ImportReport",
        "MergedFiles",
        "MorphedFile",
        "ObservedSource",
        "Production",
        "Resampled",
        "export_events",
        "import_benchmark",
        "import_events",
        "import_file",
        "merge_events",
        "morph_events",
        "open_events",
        "open_observed",
        "open_together",
        "produce",
        "read_observed",
        "resample_events",
        "write_events",
    }
    assert all(hasattr(data, name) for name in data.__all__)


def test_heavy_packages_are_imported_only_when_needed():
    code = "import sys, lfi_mflow.data; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "sbi", "uproot", "awkward", "pyarrow", "pylhe", "sklearn"} & set(
        run.stdout.split()
    )
