"""The only importer of scikit-learn's private names.

Everything the package takes from an underscore module or an otherwise unstable corner of
scikit-learn passes through here, so that a new release breaks one file.
"""

from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    RealNotInt,
    StrOptions,
    validate_params,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metadata_routing import _routing_enabled

__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "Options",
    "RealNotInt",
    "StrOptions",
    "dense_output",
    "fit_context",
    "routing_enabled",
    "validate_params",
    "with_callbacks",
]

fit_context = _fit_context
routing_enabled = _routing_enabled


def dense_output(estimator):
    """Name of the container that ``set_output`` or the global configuration asks for."""
    return _get_output_config("transform", estimator)["dense"]
