"""Events in files; imports no torch."""

from lfi_mflow.data.benchmarks import import_benchmark
from lfi_mflow.data.export import ExportReport, export_events
from lfi_mflow.data.importing import ImportReport, import_events, import_file
from lfi_mflow.data.mapping import ColumnMapping
from lfi_mflow.data.observed import ObservedSource, open_observed, read_observed
from lfi_mflow.data.production import Production, produce
from lfi_mflow.data.store import EventFile, EventMetadata, open_events, write_events

__all__ = [
    "ColumnMapping",
    "EventFile",
    "EventMetadata",
    "ExportReport",
    "ImportReport",
    "ObservedSource",
    "Production",
    "export_events",
    "import_benchmark",
    "import_events",
    "import_file",
    "open_events",
    "open_observed",
    "produce",
    "read_observed",
    "write_events",
]
