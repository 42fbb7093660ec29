"""The only importer of scikit-learn's private names.

Everything the package takes from an underscore module or an otherwise unstable corner of
scikit-learn passes through here, so that a new release breaks one file.
"""

from functools import cache

import numpy as np
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
from sklearn.utils.validation import _check_feature_names_in

__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "Options",
    "RealNotInt",
    "StrOptions",
    "check_feature_names_in",
    "dense_output",
    "fit_context",
    "routing_enabled",
    "tree_builder",
    "validate_params",
    "with_callbacks",
]

_MAX_DEPTH = np.iinfo(np.int32).max

check_feature_names_in = _check_feature_names_in
fit_context = _fit_context
routing_enabled = _routing_enabled


def dense_output(estimator):
    """Name of the container that ``set_output`` or the global configuration asks for."""
    return _get_output_config("transform", estimator)["dense"]


@cache
def tree_builder():
    """Return a function that grows one classification tree, or None where scikit-learn differs.

    ``build(X, y, n_classes, weight, max_features, random_state)`` takes float32 rows, a column of
    float64 classes, the weights of a bootstrap sample and a ``RandomState``, and grows the tree
    that a forest's ``DecisionTreeClassifier`` would, without its checks, which take longer than a
    small tree.
    """
    try:
        from sklearn.tree._criterion import Gini
        from sklearn.tree._splitter import BestSplitter
        from sklearn.tree._tree import DepthFirstTreeBuilder, Tree
    except ImportError:
        return None

    def build(X, y, n_classes, weight, max_features, random_state):
        classes = np.array([n_classes], dtype=np.intp)
        splitter = BestSplitter(Gini(1, classes), max_features, 1, 0.0, random_state, None)
        tree = Tree(X.shape[1], classes, 1)
        DepthFirstTreeBuilder(splitter, 2, 1, 0.0, _MAX_DEPTH, 0.0).build(tree, X, y, weight, None)
        return tree

    rows = np.array([[0.0], [1.0]], dtype=np.float32)
    try:
        tree = build(rows, rows.astype(np.float64), 2, np.ones(2), 1, np.random.RandomState(0))
    except TypeError:
        return None
    return build if tree.node_count == 3 else None
