"""Start a network from another fitted model, features matched by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_is_fitted

__all__ = ["load_source", "transfer_weights"]


def load_source(source, target):
    """Return the fitted model to start from, read from its saved weights if a path is given."""
    if isinstance(source, str | Path):
        return type(target)().load_weights(source)
    if not hasattr(source, "get_params"):
        raise TypeError(
            "init_from must be a fitted generator or the path of its saved weights, got "
            f"{type(source).__name__}."
        )
    check_is_fitted(source)
    if not hasattr(source, "net_") or not hasattr(source, "_network_names"):
        raise TypeError(f"init_from holds a {type(source).__name__}, which has no network to copy.")
    return source


def _match(source, target):
    """Pairs of feature positions (in the source, in the target) that carry the same name."""
    old, new = source._network_names, target._network_names
    if source._span is not None:
        raise ValueError("init_from was trained with compress='span'; its weights fit one table.")
    if old is None or new is None:
        if source._n_coordinates != target._n_coordinates:
            raise ValueError(
                f"init_from has {source._n_coordinates} features and X has "
                f"{target._n_coordinates}, and they cannot be matched by name; pass data frames "
                "with column names to both fits."
            )
        both = np.arange(target._n_coordinates)
        return both, both
    position = {name: index for index, name in enumerate(old)}
    shared = [index for index, name in enumerate(new) if name in position]
    if not shared:
        raise ValueError(
            "init_from shares no column name with X; columns are matched by name (for example "
            f"{old[0]!r} in the source, {new[0]!r} here)."
        )
    return np.array([position[new[index]] for index in shared]), np.array(shared)


def transfer_weights(target, source, batch):
    """Copy what fits from ``source`` into the network of ``target``.

    Hidden layers are copied where shapes agree; layers with one slice a feature are copied for
    shared features. Features the source does not know are left out of the encoder and decoded by
    a regression on the codes of the shared ones.

    Returns
    -------
    report : dict
        ``copied``, ``partial`` and ``skipped`` parameter names and ``n_shared_features``.
    """
    import torch

    old_idx, new_idx = _match(source, target)
    module, old_state = target.net_.module_, source.net_.module_.state_dict()
    axes = module.feature_axes
    report = {"copied": [], "partial": [], "skipped": [], "n_shared_features": len(new_idx)}
    n_new, n_old = target._n_coordinates, source._n_coordinates
    unknown = np.setdiff1d(np.arange(n_new), new_idx)
    with torch.no_grad():
        for name, weight in module.state_dict().items():
            old = old_state.get(name)
            if old is None:
                report["skipped"].append(name)
                continue
            old = old.to(weight.device)
            axis = axes.get(name)
            if axis is None:
                fits = old.shape == weight.shape
                if fits:
                    weight.copy_(old)
                report["copied" if fits else "skipped"].append(name)
                continue
            if not _copy_features(weight, old, axis, old_idx, new_idx, unknown, (n_old, n_new)):
                report["skipped"].append(name)
                continue
            complete = len(unknown) == 0 and n_old == n_new
            report["copied" if complete else "partial"].append(name)
        if len(unknown) and module.decoder.linear is not None:
            _regress_unknown(target, batch, unknown)
    if not report["copied"] and not report["partial"]:
        raise ValueError(
            "init_from shares no layer of the same shape; use the same hidden and latent_dim."
        )
    return report


def _copy_features(weight, old, axis, old_idx, new_idx, unknown, widths):
    n_old, n_new = widths
    others = [d for d in range(weight.dim()) if d != axis]
    if any(weight.shape[d] != old.shape[d] for d in others):
        return False
    if axis == 1:
        weight[:, new_idx] = old[:, old_idx]
        weight[:, unknown] = 0.0
        extra = weight.shape[1] - n_new
        if extra and extra == old.shape[1] - n_old:
            weight[:, n_new:] = old[:, n_old:]
    else:
        weight[new_idx] = old[old_idx]
    return True


def _regress_unknown(target, batch, unknown):
    """Decode unknown features linearly from the codes of the shared ones."""
    import torch

    codes = target._encode_batch(np.asarray(batch, dtype=np.float64))[0]
    rows = np.asarray(batch[:, unknown], dtype=np.float64)
    ridge = 1e-3 * len(codes) * np.eye(codes.shape[1])
    loadings = np.linalg.solve(codes.T @ codes + ridge, codes.T @ rows)
    module = target.net_.module_
    module.decoder.linear.weight[unknown] = torch.as_tensor(
        loadings.T, dtype=torch.float32, device=module.decoder.linear.weight.device
    )
    log_sd = getattr(module, "log_sd", None)
    if log_sd is not None:
        residual = (rows - codes @ loadings).var(axis=0)
        log_sd[unknown] = torch.as_tensor(
            0.5 * np.log(np.maximum(residual, 0.02)), dtype=torch.float32, device=log_sd.device
        )
