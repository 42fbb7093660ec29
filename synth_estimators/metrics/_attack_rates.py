"""Success rates of attacks, with intervals, and what is left beside a control group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.utils import Bunch

from synth_estimators.metrics._tables import result

__all__ = ["attack_rate", "attack_result", "residual_risk"]


def attack_rate(n_attacks: int, n_success: int, *, level: float = 0.95) -> Bunch:
    r"""Success rate of attacks by Wilson's interval.

    .. math:: \frac{k + z^2/2}{N + z^2} \pm \frac{z}{N + z^2}\sqrt{\frac{k (N - k)}{N}
       + \frac{z^2}{4}}

    Parameters
    ----------
    n_attacks : int
        Number of attacks N, at least 1.

    n_success : int
        Number k of those that succeeded.

    level : float, default=0.95
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    rate : Bunch
        ``rate`` (centre of the interval) and ``error`` (half its width).

    References
    ----------
    .. [1] Wilson, E. B. (1927). "Probable Inference, the Law of Succession, and Statistical
       Inference". Journal of the American Statistical Association 22.

    Examples
    --------
    >>> from synth_estimators.metrics import attack_rate
    >>> found = attack_rate(100, 0)
    >>> round(found.rate, 4), round(found.error, 4)
    (0.0185, 0.0185)
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level!r} must lie between 0 and 1, for example 0.95.")
    if n_attacks < 1 or not 0 <= n_success <= n_attacks:
        raise ValueError(
            f"{n_success!r} successes of {n_attacks!r} attacks are impossible; expected at least "
            "one attack and between 0 and that many successes."
        )
    z = float(norm.ppf(0.5 + level / 2.0))
    total = n_attacks + z**2
    spread = np.sqrt(n_success * (n_attacks - n_success) / n_attacks + z**2 / 4.0)
    return Bunch(rate=float((n_success + z**2 / 2.0) / total), error=float(z / total * spread))


def residual_risk(
    attack: tuple[int, int], control: tuple[int, int], *, level: float = 0.95
) -> Bunch:
    r"""Success of attacks on training rows beyond the success on rows that nobody could leak.

    .. math:: (r_T - r_H) / (1 - r_H)

    Parameters
    ----------
    attack, control : tuple of int
        Number of attacks and of successes on training rows, and on holdout rows.

    level : float, default=0.95
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    risk : Bunch
        ``value`` and ``error`` by first-order propagation of the errors of both rates; ``risk``,
        ``low`` and ``high``, the value and its interval clipped to the range 0 to 1.

    References
    ----------
    .. [1] Giomi, M., Boenisch, F., Wehmeyer, C. and Tasnadi, B. (2023). "A Unified Framework for
       Quantifying Privacy Risk in Synthetic Data". PETS.

    Examples
    --------
    >>> from synth_estimators.metrics import residual_risk
    >>> found = residual_risk((500, 80), (500, 40))
    >>> round(found.value, 3), round(found.error, 3)
    (0.087, 0.042)
    """
    on_train, on_holdout = attack_rate(*attack, level=level), attack_rate(*control, level=level)
    room = 1.0 - on_holdout.rate
    value = (on_train.rate - on_holdout.rate) / room
    error = float(
        np.hypot(on_train.error / room, on_holdout.error * (on_train.rate - 1.0) / room**2)
    )
    risk, low, high = np.clip([value, value - error, value + error], 0.0, 1.0).tolist()
    return Bunch(value=value, error=error, risk=risk, low=low, high=high)


def attack_result(
    groups: dict[str, np.ndarray], *, level: float, breakdown: bool, **more: Any
) -> Any:
    """Risk from the success of every attack on training rows, holdout rows and by guessing.

    ``groups`` holds the arrays of successes "attack", "control" and "baseline".
    """
    counts = {name: (len(success), int(np.sum(success))) for name, success in groups.items()}
    residual = residual_risk(counts["attack"], counts["control"], level=level)
    if not breakdown:
        return residual.risk
    rates = {name: attack_rate(*count, level=level) for name, count in counts.items()}
    details = pd.DataFrame(
        {
            "group": list(counts),
            "n_attacks": [count[0] for count in counts.values()],
            "n_success": [count[1] for count in counts.values()],
            "rate": [rate.rate for rate in rates.values()],
            "error": [rate.error for rate in rates.values()],
        }
    )
    return result(
        residual.risk,
        True,
        details,
        low=residual.low,
        high=residual.high,
        value=residual.value,
        error=residual.error,
        attack_rate=rates["attack"].rate,
        control_rate=rates["control"].rate,
        baseline_rate=rates["baseline"].rate,
        weak_attack=rates["attack"].rate <= rates["baseline"].rate,
        **more,
    )
