"""Check of scorers of generators."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

from synth_estimators.utils import _check_tools as tools

__all__ = ["check_generator_scorer_pure"]


def check_generator_scorer_pure(
    scorer: Callable[..., Any], estimator: Any, X: Any, y: Any = None
) -> None:
    """Check that scoring a generator leaves no trace.

    The fitted estimator and the global random generators stay as they were, a second call and a
    pickled copy of the scorer give the same score, and the score is a number.

    Parameters
    ----------
    scorer : callable
        ``scorer(estimator, X, y) -> float`` or dict of float, with an int ``random_state`` if it
        has one.

    estimator : estimator
        Fitted generator that can be pickled.

    X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
        Held-out rows.

    y : array-like of shape (n_samples,), default=None
        Their labels.

    Raises
    ------
    AssertionError
        When the scorer leaves a trace, with what changed.

    Examples
    --------
    >>> import numpy as np
    >>> from synth_estimators import GaussianCopula
    >>> from synth_estimators.model_selection import make_generator_scorer
    >>> from synth_estimators.utils.estimator_checks import check_generator_scorer_pure
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> scorer = make_generator_scorer("neg_energy_distance")
    >>> check_generator_scorer_pure(scorer, GaussianCopula().fit(X), X)
    """
    name = type(estimator).__name__
    state, random_states = pickle.dumps(estimator), tools.global_random_states()
    first = _scores(scorer(estimator, X, y))
    tools.require(
        pickle.dumps(estimator) == state, f"Scoring changed the state of the fitted {name}."
    )
    after = tools.global_random_states()
    moved = sorted(key for key in random_states if after.get(key) != random_states[key])
    tools.require(not moved, f"Scoring moved the global random generators of {moved}.")
    for key, value in first.items():
        tools.require(
            isinstance(value, float), f"The score {key!r} is {value!r}; it must be a float."
        )
    copied = pickle.loads(pickle.dumps(scorer))
    for what, again in (("A second call", scorer), ("A pickled copy of the scorer", copied)):
        second = _scores(again(estimator, X, y))
        tools.require(
            first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first),
            f"{what} gave {second} instead of {first}; give the scorer an int random_state.",
        )


def _scores(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"score": value}


def _equal(first: float, second: float) -> bool:
    return first == second or (math.isnan(first) and math.isnan(second))
