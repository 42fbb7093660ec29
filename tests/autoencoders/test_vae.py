"""VAE and AE: truths they recover, modes, transfer, streams, persistence, bad input."""

import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import skorch
from scipy.stats import multivariate_normal

from synth_estimators import AE, VAE, from_spec
from synth_estimators._networks.autoencoder import GaussianVAEModule

QUICK = {"max_epochs": 3, "latent_dim": 2, "hidden": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def factors():
    """600 rows of a factor model with its covariance."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(10, 2))
    noise = rng.uniform(0.2, 0.6, 10)
    rows = rng.normal(size=(600, 2)) @ loadings.T + rng.normal(size=(600, 10)) * np.sqrt(noise)
    names = [f"g{j}" for j in range(10)]
    return pd.DataFrame(rows, columns=names), loadings @ loadings.T + np.diag(noise)


def test_bound_reaches_the_true_density_of_a_factor_model(factors):
    X, covariance = factors
    fresh = np.random.default_rng(1).multivariate_normal(np.zeros(10), covariance, size=300)
    truth = multivariate_normal(np.zeros(10), covariance).logpdf(fresh)
    vae = VAE(latent_dim=2, max_epochs=120, random_state=0).fit(X)
    bound = vae.score_samples(pd.DataFrame(fresh, columns=X.columns))
    # nats a row: the fitted model loses about 0.1 to estimation, and a bound is never far above
    assert -0.4 < (bound - truth).mean() < 0.1
    assert np.corrcoef(bound, truth)[0, 1] > 0.97


def test_bound_of_the_identity_decoder_is_exact():
    """With no code in use the bound is the density of independent normals."""
    X = np.random.default_rng(0).normal(size=(200, 3))
    vae = VAE(latent_dim=1, calibration=None, max_epochs=1, random_state=0).fit(X)
    module = vae.net_.module_
    for parameter in module.parameters():
        parameter.data.zero_()
    expected = multivariate_normal(X.mean(axis=0), np.diag(X.var(axis=0))).logpdf(X)
    np.testing.assert_allclose(vae.score_samples(X), expected, rtol=1e-6)


@pytest.mark.parametrize("calibration", ["full", "margins", None])
@pytest.mark.parametrize("compress", [None, "span"])
@pytest.mark.parametrize("estimator", [AE, VAE])
def test_samples_keep_covariance_in_every_mode(estimator, calibration, compress, factors):
    X, covariance = factors
    model = estimator(
        latent_dim=2, max_epochs=40, calibration=calibration, compress=compress, random_state=0
    )
    rows = model.fit(X).sample(4000)
    assert list(rows.columns) == list(X.columns)
    expected = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    error = np.abs(np.corrcoef(rows.T) - expected).mean()
    # the AE without calibration decodes means only, which raises correlations
    assert error < (0.35 if estimator is AE and calibration != "full" else 0.08)
    spread = rows.std() / np.sqrt(np.diag(covariance))
    if calibration is not None:
        np.testing.assert_allclose(spread, 1.0, atol=0.1)


def test_stratified_needs_calibration(factors):
    model = VAE(**QUICK, calibration=None).fit(factors[0])
    with pytest.raises(ValueError, match="stratified=True needs a calibrated generator"):
        model.sample(40, stratified=True)


def test_stratified_margins_are_nearer_than_independent_ones(factors):
    X, _ = factors
    model = VAE(**QUICK).fit(X)
    error = {
        mode: np.abs(model.sample(300, stratified=mode).mean() - X.mean()).max()
        for mode in (False, True)
    }
    assert error[True] < 0.3 * error[False]


def test_codes_and_reconstructions_align_with_rows(factors):
    X, _ = factors
    vae = VAE(latent_dim=2, max_epochs=60, random_state=0).fit(X)
    rebuilt = vae.reconstruct(X)
    assert rebuilt.index.equals(X.index)
    correlation = [np.corrcoef(X[name], rebuilt[name])[0, 1] for name in X]
    assert np.median(correlation) > 0.8  # columns differ in how much the two factors explain
    codes = vae.transform(X)
    np.testing.assert_allclose(vae.transform(X.iloc[[7]]), codes[[7]], rtol=1e-9)
    np.testing.assert_allclose(vae.inverse_transform(codes), rebuilt, rtol=1e-9)


def test_reconstruction_of_an_autoencoder_is_no_worse_than_principal_components(factors):
    X, _ = factors
    Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    _, _, directions = np.linalg.svd(Z, full_matrices=False)
    best = ((Z - Z @ directions[:2].T @ directions[:2]) ** 2).sum(axis=1).mean()
    ae = AE(latent_dim=2, calibration=None, max_epochs=5, random_state=0).fit(X)
    assert min(ae.loss_curve_) < 1.1 * best


def test_aggregate_posterior_matches_the_codes(factors):
    X, _ = factors
    vae = VAE(latent_dim=2, max_epochs=40, random_state=0).fit(X)
    drawn = vae._codes.draw(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(axis=0), vae.transform(X).mean(axis=0), atol=0.05)


def test_early_stopping_restores_the_best_weights(factors):
    X, _ = factors
    vae = VAE(latent_dim=2, max_epochs=200, patience=5, lr=0.05, random_state=0).fit(X)
    assert vae.n_iter_ < 200
    best = int(np.argmin(vae.validation_loss_curve_))
    assert vae.best_epoch_ == best + 1
    assert vae.n_iter_ == best + 1 + 5


def test_warm_start_continues_and_takes_a_new_learning_rate(factors):
    X, _ = factors
    vae = VAE(**QUICK, warm_start=True).fit(X)
    vae.set_params(lr=0.5).fit(X)
    assert vae.n_iter_ == 6
    assert vae.net_.optimizer_.param_groups[0]["lr"] == 0.5
    vae.set_params(latent_dim=3)
    with pytest.raises(ValueError, match=r"cannot change latent_dim \(2 → 3\)"):
        vae.fit(X)


def test_partial_fit_trains_on_and_counts_rows(factors):
    X, _ = factors
    vae = VAE(**QUICK)
    for part in np.array_split(np.arange(600), 4):
        vae.partial_fit(X.iloc[part], n_epochs=2)
    assert vae.n_iter_ == 8
    assert vae._codes.n_rows == 600
    assert vae.loss_curve_[-1] < vae.loss_curve_[0]
    with pytest.raises(ValueError, match="feature names should match"):
        vae.partial_fit(X.iloc[:50, ::-1])


def test_stream_learns_what_fit_learns(factors):
    X, covariance = factors
    chunks = [X.iloc[i : i + 100] for i in range(0, 600, 100)]
    vae = VAE(latent_dim=2, max_epochs=40, random_state=0).fit_stream(chunks)
    rows = vae.sample(4000)
    expected = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.abs(np.corrcoef(rows.T) - expected).mean() < 0.08
    assert len(vae.validation_loss_curve_) == vae.n_iter_


def test_stream_refuses_what_can_be_read_only_once(factors):
    with pytest.raises(TypeError, match="can be read only once"):
        VAE(**QUICK).fit_stream(part for part in [factors[0]])


def test_stream_names_the_chunk_that_does_not_fit(factors):
    X, _ = factors
    with pytest.raises(ValueError, match="feature names should match"):
        VAE(**QUICK).fit_stream([X, X.iloc[:, ::-1]])


def test_transfer_matches_features_by_name(factors):
    X, _ = factors
    source = VAE(latent_dim=2, hidden=(16,), max_epochs=60, random_state=0).fit(X)
    few = X.iloc[:60, ::-1].assign(new=lambda t: t["g0"] * 2.0)
    settings = {"latent_dim": 2, "hidden": (16,), "max_epochs": 1, "random_state": 0}
    cold = VAE(**settings).fit(few)
    warm = VAE(**settings, init_from=source).fit(few)
    assert warm.transfer_report_["n_shared_features"] == 10
    assert "encoder.0.weight" in warm.transfer_report_["partial"]
    assert warm.loss_curve_[0] < 0.5 * cold.loss_curve_[0]


def test_transfer_of_the_same_table_by_position_keeps_the_function(factors):
    X = factors[0].to_numpy()
    source = VAE(**QUICK).fit(X)
    everything_but_noise = ("encoder.*", "code_head.*", "decoder.*")
    target = VAE(**QUICK, init_from=source, freeze=everything_but_noise).fit(X)
    np.testing.assert_allclose(target.transform(X), source.transform(X), rtol=1e-6, atol=1e-7)


def test_width_follows_the_rows_and_the_source(factors):
    X, _ = factors
    settings = {"max_epochs": 1, "random_state": 0}
    assert VAE(**settings).fit(X.iloc[:60]).hidden_ == (16,)
    assert VAE(**settings).fit(X.iloc[:210]).hidden_ == (30,)
    large = VAE(**settings).fit(np.vstack([X, X]))
    assert large.hidden_ == (128,)
    small = VAE(**settings, init_from=large).fit(X.iloc[:60].to_numpy())
    assert (small.hidden_, small.latent_dim_) == (large.hidden_, large.latent_dim_)
    assert not small.transfer_report_["skipped"]
    published = VAE(**settings, network="published", calibration="margins").fit(X)
    assert published.hidden_ == (256, 128, 64)


def test_freeze_keeps_weights_and_names_its_mistakes(factors):
    X, _ = factors
    source = VAE(**QUICK).fit(X)
    frozen = VAE(**QUICK, init_from=source, freeze=["encoder.*"]).fit(X)
    before = source.net_.module_.encoder[0].weight.detach().numpy()
    np.testing.assert_array_equal(frozen.net_.module_.encoder[0].weight.detach().numpy(), before)
    with pytest.raises(ValueError, match="freeze pattern 'enc' matches no parameter"):
        VAE(**QUICK, freeze=["enc"]).fit(X)
    with pytest.raises(ValueError, match="leaves no parameter to train"):
        VAE(**QUICK, freeze=["*"]).fit(X)


def test_transfer_refuses_a_stranger(factors):
    X, _ = factors
    source = VAE(**QUICK).fit(X)
    with pytest.raises(ValueError, match="shares no column name"):
        VAE(**QUICK, init_from=source).fit(X.add_prefix("other_"))
    with pytest.raises(TypeError, match="must be a fitted generator or the path"):
        VAE(**QUICK, init_from=3).fit(X)


@pytest.mark.parametrize("estimator", [AE, VAE])
@pytest.mark.parametrize("compress", [None, "span"])
def test_saved_weights_restore_the_model(estimator, compress, factors, tmp_path):
    X, _ = factors
    model = estimator(**QUICK, compress=compress).fit(X)
    model.save_weights(tmp_path / "model")
    restored = estimator().load_weights(tmp_path / "model")
    pd.testing.assert_frame_equal(restored.sample(20), model.sample(20))
    np.testing.assert_allclose(restored.transform(X), model.transform(X), rtol=1e-9)
    assert restored.latent_dim == 2
    warm = estimator(**QUICK, init_from=str(tmp_path / "model"))
    if compress is None:
        assert not warm.fit(X).transfer_report_["skipped"]


def test_damaged_weights_are_refused(factors, tmp_path):
    VAE(**QUICK).fit(factors[0]).save_weights(tmp_path / "model")
    with pytest.raises(ValueError, match="holds a VAE, not a AE"):
        AE().load_weights(tmp_path / "model")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is damaged"):
        VAE().load_weights(tmp_path / "model")


def test_model_loads_in_a_new_process(factors, tmp_path):
    model = VAE(**QUICK).fit(factors[0])
    joblib.dump(model, tmp_path / "model.joblib")
    code = (
        "import joblib, sys; m = joblib.load(sys.argv[1]); "
        "print(repr(float(m.sample(50).to_numpy().sum())))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.joblib")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(out.stdout) == pytest.approx(model.sample(50).to_numpy().sum(), rel=1e-6)


def test_compact_copy_samples_alike_and_is_smaller(factors):
    model = VAE(**QUICK).fit(factors[0])
    small = model.compact()
    pd.testing.assert_frame_equal(small.sample(5), model.sample(5))
    import pickle

    assert len(pickle.dumps(small)) < len(pickle.dumps(model))


def test_published_model_has_the_published_shape():
    X = np.random.default_rng(0).gamma(3.0, size=(40, 12)).astype(np.float32)
    vae = from_spec("VAE1-10", max_epochs=2, random_state=0).fit(X)
    shapes = {k: tuple(v.shape) for k, v in vae.net_.module_.named_parameters() if v.dim() == 2}
    assert shapes == {
        "encoder.0.weight": (256, 12),
        "encoder.3.weight": (128, 256),
        "encoder.6.weight": (64, 128),
        "code_head.weight": (64, 64),  # mean and log-variance, 32 each
        "decoder.stack.0.weight": (64, 32),
        "decoder.stack.3.weight": (128, 64),
        "decoder.stack.6.weight": (256, 128),
        "decoder.last.weight": (12, 256),
    }
    assert vae.net_.module_.log_sd is None
    assert (vae.net_.module_.kl_weight, vae.net_.batch_size) == (10.0, 3)
    assert (vae.sample(100) >= 0).all()  # the published output layer cannot go below zero


def test_published_autoencoder_has_the_published_shape():
    X = np.random.default_rng(0).gamma(3.0, size=(40, 12))
    ae = from_spec("AE", max_epochs=2, random_state=0).fit(X)
    assert ae.net_.module_.code_head.weight.shape == (64, 128)
    assert (ae.transform(X) >= 0).all()


@pytest.mark.parametrize(
    ("spec", "kind", "weights"),
    [("VAE1-10", "VAE", (1, 10)), ("cvae1+20", "CVAE", (1, 20)), ("VAE10-100", "VAE", (10, 100))],
)
def test_spec_strings(spec, kind, weights):
    model = from_spec(spec)
    assert type(model).__name__ == kind
    assert (model.reconstruction_weight, model.kl_weight) == weights


@pytest.mark.parametrize("spec", ["GAN", "VAE1", "VAE1-", "XVAE1-2", "AE1-2", "", None])
def test_bad_spec_is_refused(spec):
    with pytest.raises(ValueError, match=r"Unknown model|has weights"):
        from_spec(spec)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"early_stopping": True, "validation_fraction": None}, "validation_fraction is None"),
        ({"batch_size": 5000}, "batch_size=5000 is larger than the 510 training rows"),
        ({"hidden": (8, -1)}, "hidden must hold positive integers"),
        ({"optimizer": "lion"}, "The 'optimizer' parameter of VAE must be"),
        ({"kl_weight": -1}, "The 'kl_weight' parameter of VAE must be"),
    ],
)
def test_bad_parameters_are_named(params, message, factors):
    with pytest.raises(ValueError, match=message):
        VAE(**{**QUICK, **params}).fit(factors[0])


def test_bad_cells_are_named(factors):
    X = factors[0].copy()
    X.loc[5, "g3"] = np.nan
    with pytest.raises(ValueError, match=r"NaN in column 'g3' \(first in row 5\)"):
        VAE(**QUICK).fit(X)
    X.loc[5, "g3"] = np.inf
    with pytest.raises(ValueError, match="infinity in column 'g3'"):
        VAE(**QUICK).fit(X)
    X.loc[5, "g3"] = 1e200
    with pytest.raises(ValueError, match=r"Column 'g3' contains infinity or a value too large"):
        VAE(**QUICK).fit(X)
    with pytest.raises(ValueError, match="Column 'kind' holds text"):
        VAE(**QUICK).fit(factors[0].assign(kind="a"))


@pytest.mark.parametrize("shape", [(1, 3), (2, 3), (0, 3)])
def test_too_few_rows_are_refused(shape):
    with pytest.raises(ValueError, match=r"minimum of 3 is required|0 sample"):
        VAE(**QUICK).fit(np.ones(shape))


def test_no_columns_are_refused():
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        VAE(**QUICK).fit(np.ones((10, 0)))


def test_wrong_columns_are_refused_at_transform(factors):
    X, _ = factors
    vae = VAE(**QUICK).fit(X)
    with pytest.raises(ValueError, match="feature names should match"):
        vae.transform(X.rename(columns={"g0": "h0"}))
    with pytest.raises(ValueError, match="same order"):
        vae.transform(X.iloc[:, ::-1])


def test_diverging_run_is_stopped_with_epoch_and_learning_rate(factors):
    model = VAE(
        **{**QUICK, "max_epochs": 50}, lr=1e9, optimizer="sgd", clip_norm=None, weight_decay=0.0
    )
    with pytest.raises(FloatingPointError, match=r"VAE: training loss became .* lower lr \(now"):
        model.fit(factors[0])


@pytest.mark.parametrize("shape", [(3, 1), (3, 4), (5, 2), (12, 40)])
@pytest.mark.parametrize("estimator", [AE, VAE])
def test_tiny_tables_fit_and_sample(estimator, shape):
    X = np.random.default_rng(0).normal(size=shape)
    rows = estimator(max_epochs=2, random_state=0).fit(X).sample(9)
    assert rows.shape == (9, shape[1])
    assert np.isfinite(rows).all()


def test_constant_columns_come_back_and_do_not_change_the_score(factors):
    X, _ = factors
    rows = VAE(**QUICK).fit(X.assign(flat=3.25)).sample(10)
    assert (rows["flat"] == 3.25).all()


def test_read_only_memory_map_is_accepted(factors, tmp_path):
    joblib.dump(factors[0].to_numpy(), tmp_path / "X.joblib")
    X = joblib.load(tmp_path / "X.joblib", mmap_mode="r")
    assert VAE(**QUICK).fit(X).sample(3).shape == (3, 10)


def test_twenty_thousand_columns():
    X = np.random.default_rng(0).normal(size=(40, 20_000)).astype(np.float32)
    vae = VAE(max_epochs=1, latent_dim=2, hidden=(8,), random_state=0).fit(X)
    rows = vae.sample(4)
    assert rows.dtype == np.float32
    assert rows.shape == (4, 20_000)


def test_bigger_request_repeats_no_row(factors):
    rows = VAE(**QUICK).fit(factors[0]).sample(2000)
    assert len(rows.drop_duplicates()) == 2000


class StopAfter:
    """scikit-learn callback that stops a fit after some epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.seen.append(context.task_id)
        return len(self.seen) >= self.n_epochs


def test_scikit_learn_callback_sees_epochs_and_stops_the_fit(factors):
    vae = VAE(**{**QUICK, "max_epochs": 50})
    vae.set_callbacks(StopAfter(4))
    vae.fit(factors[0])
    assert vae.n_iter_ == 4
    assert len(vae.net_.callbacks_) == len(VAE(**QUICK).fit(factors[0]).net_.callbacks_)


def test_ctrl_c_ends_the_call_and_not_only_the_fit(factors):
    vae = VAE(**{**QUICK, "max_epochs": 50})
    calls = []
    original = GaussianVAEModule.forward

    def forward(self, batch):
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return original(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GaussianVAEModule, "forward", forward)
        with pytest.raises(KeyboardInterrupt):
            vae.fit(factors[0])


def test_skorch_callbacks_work_and_are_not_touched(factors):
    scheduler = skorch.callbacks.LRScheduler("StepLR", step_size=1, gamma=0.1)
    before = dict(vars(scheduler))
    vae = VAE(**QUICK, callbacks=[("schedule", scheduler)]).fit(factors[0])
    assert dict(vars(scheduler)) == before
    assert vae.net_.optimizer_.param_groups[0]["lr"] < 1e-3
    stopper = skorch.callbacks.EarlyStopping(patience=2)
    with pytest.raises(ValueError, match="EarlyStopping monitors 'valid_loss'"):
        VAE(**QUICK, callbacks=[stopper], validation_fraction=None, early_stopping=False).fit(
            factors[0]
        )


def test_net_params_reach_the_net_and_are_searchable(factors):
    vae = VAE(**QUICK, net_params={"optimizer__betas": (0.8, 0.9)})
    assert vae.get_params()["net__optimizer__betas"] == (0.8, 0.9)
    vae.set_params(net__optimizer__betas=(0.7, 0.9)).fit(factors[0])
    assert vae.net_.optimizer_.param_groups[0]["betas"] == (0.7, 0.9)


def test_training_curves_and_history_agree(factors):
    vae = VAE(**QUICK).fit(factors[0])
    assert len(vae.history_) == vae.n_iter_ == len(vae.loss_curve_) == 3
    np.testing.assert_allclose(vae.history_["train_loss"], vae.loss_curve_)
    alone = VAE(**QUICK, validation_fraction=None, early_stopping=False).fit(factors[0])
    assert alone.validation_loss_curve_ is None


def test_network_that_overshoots_the_table_is_reported(factors):
    X, _ = factors
    model = VAE(**QUICK).fit(X)
    model.net_.module_.decoder.linear.weight.data.mul_(5.0)
    with pytest.warns(UserWarning, match="more variance than the table has"):
        model._fit_calibration(None, np.random.default_rng(0))
    assert model.completion_clip_ > 0.1


def test_mixture_of_codes_finds_two_groups_that_one_gaussian_misses(tmp_path):
    rng = np.random.default_rng(0)
    centre = np.where(rng.random(500) < 0.5, -3.0, 3.0)[:, None]
    X = centre + 0.3 * rng.normal(size=(500, 4))
    settings = {"latent_dim": 1, "calibration": None, "max_epochs": 5, "random_state": 0}

    def between(model):
        return (np.abs(model.sample(1000).mean(axis=1)) < 1.5).mean()

    mixture = AE(**settings, code_density="gmm").fit(X)
    assert between(mixture) < 0.02
    assert between(AE(**settings).fit(X)) > 0.2
    mixture.save_weights(tmp_path / "model")
    restored = AE().load_weights(tmp_path / "model")
    np.testing.assert_allclose(restored.sample(9), mixture.sample(9))
