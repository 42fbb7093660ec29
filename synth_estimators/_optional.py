"""Optional packages, imported inside the function that needs them."""

import importlib


def require(package, *, extra, purpose):
    """Import an optional package or say which extra installs it.

    Parameters
    ----------
    package : str
        Importable name, for example ``"umap"``.

    extra : str
        Name of the extra of ``synth-estimators`` that brings the package.

    purpose : str
        What needs the package; opens the error message.

    Returns
    -------
    module
        The imported package.

    Raises
    ------
    ImportError
        When the package is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as exc:
        raise ImportError(
            f"{purpose} needs {package!r}; install it with 'pip install synth-estimators[{extra}]'."
        ) from exc
