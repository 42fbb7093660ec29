"""Checks of the contract of a generator, for the package's own and for third-party ones.

Each check is a function ``check_generator_<fact>(name, estimator)`` that clones the estimator, fits
it to a small table and raises ``AssertionError`` with a message when the fact does not hold. A
check that does not apply (for example for want of an optional package) raises
``unittest.SkipTest``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import SkipTest

from sklearn.utils import get_tags

from synth_estimators.utils import _check_tools as tools
from synth_estimators.utils._general_checks import (
    check_generator_bad_values,
    check_generator_column_order,
    check_generator_container,
    check_generator_feature_names,
    check_generator_finite,
    check_generator_fitted_attributes,
    check_generator_global_rng,
    check_generator_ignores_labels,
    check_generator_input_unchanged,
    check_generator_n_samples,
    check_generator_parallel,
    check_generator_pickle,
    check_generator_refit,
    check_generator_repeats,
    check_generator_sample_iter,
    check_generator_score,
    check_generator_seeds,
    check_generator_set_output,
    check_generator_set_output_polars,
    check_generator_shapes,
    check_generator_state_unchanged,
    check_generator_unfitted,
)
from synth_estimators.utils._scorer_checks import check_generator_scorer_pure
from synth_estimators.utils._special_checks import (
    check_generator_callbacks,
    check_generator_label_kinds,
    check_generator_labels_aligned,
    check_generator_labels_optional,
    check_generator_labels_refused,
    check_generator_latent,
    check_generator_reconstruct,
    check_generator_sample_labeled,
    check_generator_training_record,
    check_generator_warm_start,
)

__all__ = [
    "check_generator",
    "check_generator_scorer_pure",
    "generator_checks",
    "parametrize_generators",
]

_CHECKS = (
    check_generator_unfitted,
    check_generator_fitted_attributes,
    check_generator_shapes,
    check_generator_n_samples,
    check_generator_finite,
    check_generator_column_order,
    check_generator_repeats,
    check_generator_seeds,
    check_generator_global_rng,
    check_generator_parallel,
    check_generator_container,
    check_generator_set_output,
    check_generator_set_output_polars,
    check_generator_feature_names,
    check_generator_input_unchanged,
    check_generator_pickle,
    check_generator_state_unchanged,
    check_generator_refit,
    check_generator_bad_values,
    check_generator_sample_iter,
    check_generator_score,
    check_generator_ignores_labels,
    check_generator_labels_aligned,
    check_generator_labels_refused,
    check_generator_sample_labeled,
    check_generator_label_kinds,
    check_generator_labels_optional,
    check_generator_latent,
    check_generator_reconstruct,
    check_generator_training_record,
    check_generator_callbacks,
    check_generator_warm_start,
)


def _applies(check: Callable[[str, Any], None], estimator: Any) -> bool:
    kind = check.__name__
    if check is check_generator_labels_optional and get_tags(estimator).target_tags.required:
        return False
    if "label" in kind and kind != "check_generator_ignores_labels":
        return tools.is_conditional(estimator)
    if check is check_generator_ignores_labels:
        return not tools.is_conditional(estimator)
    if check in (check_generator_latent, check_generator_reconstruct):
        return tools.is_latent(estimator)
    if check in (
        check_generator_training_record,
        check_generator_callbacks,
        check_generator_warm_start,
    ):
        return tools.has_parameter(estimator, "max_epochs")
    return True


def _check_name(check: Any) -> str:
    return (check.func if isinstance(check, partial) else check).__name__


def generator_checks(estimator: Any) -> Iterator[tuple[Any, Callable[[Any], None]]]:
    """Iterate over the checks that apply to a generator.

    Parameters
    ----------
    estimator : estimator instance
        Unfitted generator with small settings (few epochs, a tiny network). It is cloned, never
        fitted.

    Yields
    ------
    estimator : estimator instance
        The one given.

    check : callable
        ``check(estimator)`` raises ``AssertionError`` when the contract is broken and
        ``unittest.SkipTest`` when it cannot be tested here.

    Examples
    --------
    >>> from synth_estimators import IndependentColumns
    >>> from synth_estimators.utils.estimator_checks import generator_checks
    >>> for estimator, check in generator_checks(IndependentColumns()):
    ...     if "shapes" in check.func.__name__:
    ...         check(estimator)
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"Pass an instance, not the class: {estimator.__name__}(...) with small settings."
        )
    name = type(estimator).__name__
    for check in _CHECKS:
        if _applies(check, estimator):
            yield estimator, partial(check, name)


def check_generator(
    estimator: Any,
    *,
    on_fail: str | None = "raise",
    expected_failed_checks: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Check that a generator keeps the contract.

    Run it beside :func:`sklearn.utils.estimator_checks.check_estimator`, which tests what all
    estimators of scikit-learn share.

    Parameters
    ----------
    estimator : estimator instance
        Unfitted generator with small settings (few epochs, a tiny network).

    on_fail : {"raise", "warn"} or None, default="raise"
        What to do when a check fails; None only records it.

    expected_failed_checks : dict, default=None
        Reasons for checks that are known to fail, ``{check name: reason}``.

    Returns
    -------
    results : list of dict
        One entry a check with the keys ``estimator``, ``check_name``, ``status`` ("passed",
        "failed", "xfail" or "skipped"), ``exception`` and ``expected_to_fail_reason``.

    Raises
    ------
    Exception
        What the first failing check raised, when ``on_fail="raise"``.

    Examples
    --------
    >>> from synth_estimators import IndependentColumns
    >>> from synth_estimators.utils.estimator_checks import check_generator
    >>> results = check_generator(IndependentColumns())  # doctest: +SKIP
    >>> {result["status"] for result in results}  # doctest: +SKIP
    {'passed'}
    """
    if on_fail not in ("raise", "warn", None):
        raise ValueError(f"on_fail must be 'raise', 'warn' or None, got {on_fail!r}.")
    expected = expected_failed_checks or {}
    _refuse_unknown_checks(expected)
    results = []
    for _, check in generator_checks(estimator):
        check_name = _check_name(check)
        reason = expected.get(check_name)
        status = "passed"
        exception: Exception | None = None
        try:
            check(estimator)
        except SkipTest as exc:
            status, exception = "skipped", exc
        except Exception as exc:
            status, exception = ("failed" if reason is None else "xfail"), exc
            if status == "failed" and on_fail == "raise":
                raise
            if status == "failed" and on_fail == "warn":
                warnings.warn(f"{check_name} failed: {exc}", stacklevel=2)
        results.append(
            {
                "estimator": estimator,
                "check_name": check_name,
                "status": status,
                "exception": exception,
                "expected_to_fail_reason": reason,
            }
        )
    return results


def _refuse_unknown_checks(expected: Any) -> None:
    unknown = sorted(set(expected) - {check.__name__ for check in _CHECKS})
    if unknown:
        raise ValueError(f"expected_failed_checks names unknown checks: {unknown}.")


def _check_id(value: Any) -> str:
    if isinstance(value, partial):
        return _check_name(value)
    return " ".join(repr(value).split())


def parametrize_generators(
    estimators: list[Any],
    *,
    expected_failed_checks: Callable[[Any], dict[str, str]] | None = None,
) -> Any:
    """Decorator that makes one pytest test of every pair of generator and check.

    Parameters
    ----------
    estimators : list of estimator instances
        Unfitted generators with small settings.

    expected_failed_checks : callable, default=None
        Takes an estimator and returns the reasons for checks that are known to fail,
        ``{check name: reason}``. These become strict expected failures.

    Returns
    -------
    decorator : pytest.mark.parametrize
        For a test function with the arguments ``estimator`` and ``check``.

    Examples
    --------
    >>> from synth_estimators import IndependentColumns
    >>> from synth_estimators.utils.estimator_checks import parametrize_generators
    >>> @parametrize_generators([IndependentColumns()])
    ... def test_contract(estimator, check):
    ...     check(estimator)
    """
    import pytest

    cases = []
    for estimator in estimators:
        expected = {} if expected_failed_checks is None else expected_failed_checks(estimator)
        _refuse_unknown_checks(expected)
        for _, check in generator_checks(estimator):
            reason = expected.get(_check_name(check))
            marks = () if reason is None else pytest.mark.xfail(reason=reason, strict=True)
            cases.append(pytest.param(estimator, check, marks=marks))
    return pytest.mark.parametrize(("estimator", "check"), cases, ids=_check_id)
