"""Finding simulators by name or by file.

The built-in simulators and those of other packages are registered alike, by
the entry-point group ``lfi_mflow.simulators``::

    [project.entry-points."lfi_mflow.simulators"]
    my-detector = "my_package.detector:Detector"

A class in a file needs no registration: ``path/to/file.py:Class``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from lfi_mflow.errors import ConfigError, InputError, UnknownNameError
from lfi_mflow.files import require_file
from lfi_mflow.simulation.contract import Simulator

__all__ = ["available_simulators", "code_digest", "get_recorded_simulator", "get_simulator"]

_GROUP = "lfi_mflow.simulators"


def available_simulators() -> dict[str, EntryPoint]:
    """Return the registered simulators by name, in alphabetical order; none is imported."""
    return dict(_registered())


def get_simulator(spec: str, settings: Mapping[str, Any] | None = None) -> Simulator:
    """Build a simulator.

    Arguments:
        spec: A registered name, or ``path/to/file.py:Class``.
        settings: Keywords of its constructor.

    Raises:
        UnknownNameError: If the name, the class or a setting does not exist; the
            nearest are offered.
        ConfigError: If a setting that has no default is missing.
        FileFormatError: If the file is missing.
        InputError: If the class cannot be loaded or is no simulator.
    """
    factory = _from_file(spec) if _is_code(spec) else _from_entry_point(spec)
    settings = dict(settings or {})
    _check_settings(spec, factory, settings)
    try:
        simulator = factory(**settings)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"a simulator {spec!r} that can be built with {settings}",
            _one_line(error),
            "correct its settings or its constructor",
        ) from error
    return _check_contract(spec, simulator)


def code_digest(simulator: Simulator) -> str | None:
    """Return the SHA-256 of the file that defines a simulator, None if there is none."""
    try:
        source = inspect.getsourcefile(type(simulator))
    except TypeError:
        return None
    return None if source is None else hashlib.sha256(Path(source).read_bytes()).hexdigest()


def get_recorded_simulator(
    recorded: str, settings: Mapping[str, Any], given: str | None = None
) -> Simulator:
    """Build the simulator that an event or model file names.

    A file may come from a stranger: the code that it names is not run unless the user
    names it too. What is registered was installed, and is trusted.

    Arguments:
        recorded: What the file names.
        settings: The settings in the file.
        given: What the user names, None if nothing.

    Raises:
        InputError: If the file names ``path/to/file.py:Class`` and the user does not, or
            as :func:`get_simulator`.
    """
    if given is None and _is_code(recorded):
        raise InputError(
            "a registered simulator, because code that a file names is not run unasked",
            repr(recorded),
            f"if you trust it, add --simulator {shlex.quote(recorded)}",
        )
    return get_simulator(given or recorded, settings)


def _is_code(spec: str) -> bool:
    """Whether a simulator is named by the file of its code."""
    return ":" in spec or spec.endswith(".py")


@functools.cache
def _registered() -> dict[str, EntryPoint]:
    """Read the entry points once: that opens a file of every installed package."""
    return {entry.name: entry for entry in sorted(entry_points(group=_GROUP))}


def _from_entry_point(name: str) -> Any:
    """Load the class of a registered simulator."""
    known = available_simulators()
    if name not in known:
        raise UnknownNameError(
            "simulator",
            name,
            known,
            f"known are: {', '.join(known) or 'none'}; or give path/to/file.py:Class",
        )
    try:
        return known[name].load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the simulator {name!r} at {known[name].value}",
            _one_line(error),
            "reinstall the package that registers it",
        ) from error


def _from_file(spec: str) -> Any:
    """Load the class of ``path/to/file.py:Class``."""
    path_text, colon, class_name = spec.rpartition(":")
    if not colon or not path_text.endswith(".py"):
        raise InputError(
            "a simulator path/to/file.py:Class", repr(spec), "add the name of the class"
        )
    module = _load_module(require_file(Path(path_text), "a simulator"))
    if not hasattr(module, class_name):
        classes = [name for name, value in vars(module).items() if _is_own_class(value, module)]
        raise UnknownNameError(f"class in {path_text}", class_name, classes)
    return getattr(module, class_name)


def _load_module(path: Path) -> ModuleType:
    """Import a file afresh, under a name that no other module has."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"_lfi_mflow_simulator_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"a Python file at {path}", "another kind", "rename it to end in .py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a class up by the name of its module.
    sys.modules[name] = module
    try:
        with _imports_beside(path):
            spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise InputError(
            f"a simulator file {path} that can be imported",
            _one_line(error),
            f"see that this works: python {path}",
        ) from error
    return module


@contextmanager
def _imports_beside(path: Path) -> Iterator[None]:
    """Let a file import its neighbours while it is loaded, as a script could."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _is_own_class(value: object, module: ModuleType) -> bool:
    """Whether a value is a class that was defined in the module."""
    return inspect.isclass(value) and value.__module__ == module.__name__


def _check_settings(spec: str, factory: Any, settings: Mapping[str, Any]) -> None:
    """Fail if the constructor does not take the settings."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a class {spec!r}", repr(factory), "name a class that builds a simulator"
        ) from error
    parameters = signature.parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for name in settings:
            if name not in signature.parameters:
                raise UnknownNameError(
                    f"setting of {spec}",
                    name,
                    signature.parameters,
                    "" if signature.parameters else "it takes no settings",
                )
    try:
        signature.bind(**settings)
    except TypeError as error:
        raise ConfigError(
            f"all settings of {spec!r}", _one_line(error), "add it to the settings"
        ) from error


def _check_contract(spec: str, simulator: object) -> Simulator:
    """Return a simulator that has everything the contract asks for."""
    if isinstance(simulator, Simulator):
        return simulator
    wanted = ("name", "parameters", "observables", "manifold_dim", "simulate")
    missing = [name for name in wanted if not hasattr(simulator, name)]
    raise InputError(
        f"a simulator with {', '.join(wanted)} at {spec!r}",
        f"one without {', '.join(missing)}",
        "add what is missing; lfi_mflow.simulation.Simulator says what each is",
    )


def _one_line(error: BaseException) -> str:
    """Say what went wrong in a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
