"""Versions of everything that matters in a bug report."""

import platform
import sys
from importlib import metadata

__all__ = ["show_versions"]

_PACKAGES = (
    "synth-estimators",
    "scikit-learn",
    "skorch",
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "joblib",
    "xgboost",
    "safetensors",
    "threadpoolctl",
    "polars",
    "pyarrow",
    "matplotlib",
    "dask",
)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _own_version() -> str:
    from synth_estimators import __version__

    return _version("synth-estimators") or __version__


def show_versions() -> None:
    """Print versions of Python, the system and the packages in use.

    Nothing is imported for it, so it also works when an installation is broken. Paste the output
    into bug reports.

    Examples
    --------
    >>> from synth_estimators.utils import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    <BLANKLINE>
    System:
        python: ...
    """
    system = {
        "python": sys.version.replace("\n", " "),
        "machine": platform.platform(),
    }
    packages = {name: _version(name) for name in _PACKAGES}
    packages["synth-estimators"] = _own_version()
    lines = ["", "System:"]
    lines += [f"{name:>10}: {value}" for name, value in system.items()]
    lines += ["", "Packages:"]
    lines += [f"{name:>16}: {value}" for name, value in packages.items()]
    sys.stdout.write("\n".join(lines) + "\n")
