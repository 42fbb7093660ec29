"""Options of CTGAN, ACTGAN and TVAE that are off by default, and tables at the limits."""

import copy
import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, LRScheduler

from synth_estimators._networks.tabular_auxiliary import moment_distance
from synth_estimators.preprocessing._row_codes import RowCodes
from synth_estimators.tabular import ACTGAN, CTGAN, TVAE, FixedCombinations
from synth_estimators.tabular._base import BaseTabularGenerator
from synth_estimators.tabular._collapse import CollapseAlarm
from synth_estimators.tabular._known_columns import KnownColumns
from synth_estimators.tabular._quality import TableQuality
from synth_estimators.tabular._raking import rake, systematic_rows

GAN = {
    "latent_dim": 8,
    "generator_hidden": (16,),
    "critic_hidden": (16,),
    "max_epochs": 2,
    "batch_size": 60,
    "random_state": 0,
}
VAE = {"latent_dim": 3, "hidden": (16,), "max_epochs": 2, "batch_size": 64, "random_state": 0}
ANYWAY = {"conditional_vector_type": "anyway", "conditional_select_mean_columns": 2}
MODELS = {
    "CTGAN": CTGAN(**GAN),
    "single_discrete": ACTGAN(**GAN),
    "anyway": ACTGAN(**GAN, **ANYWAY),
    "TVAE": TVAE(**VAE),
}


def make_model(name, **options):
    return copy.deepcopy(MODELS[name]).set_params(**options)


def make_frame(n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m"], n_rows, p=[0.7, 0.3])
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 60, n_rows),
            "score": rng.normal(-5, 1, n_rows).round(2),
            "sex": sex,
            "tall": rng.random(n_rows) < np.where(sex == "m", 0.9, 0.1),
            "city": rng.choice(list("abcde"), n_rows, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
        }
    )
    frame.loc[::5, "score"] = np.nan
    return frame


@pytest.fixture(scope="module")
def frame():
    return make_frame()


# Learning rates


class Rates(Callback):
    """Learning rates with which the steps of every epoch were taken."""

    def on_train_begin(self, net, **kwargs):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        optimizers = [getattr(net, f"{name}_") for name in net._optimizers]
        self.seen.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])


def seen_rates(model):
    return np.array(dict(model.net_.callbacks_)["rates"].seen)


@pytest.mark.parametrize("name", MODELS)
def test_cosine_rates_fall_in_all_optimizers_and_come_back(frame, name):
    model = make_model(name, max_epochs=4, lr_schedule="cosine", callbacks=[("rates", Rates())])
    model.fit(frame)
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4))
    rates = seen_rates(model)
    assert rates.shape[1] == (1 if name == "TVAE" else 2)
    start = rates[0]
    np.testing.assert_allclose(rates, expected[:, None] * start)
    np.testing.assert_allclose(model.history_["lr"], rates[:, 0])
    assert model.net_.optimizer_.param_groups[0]["lr"] == start[0]
    again = model.set_params(warm_start=True).fit(frame)
    np.testing.assert_allclose(seen_rates(again)[:, 0], expected * start[0])


@pytest.mark.parametrize("name", ["CTGAN", "TVAE"])
def test_quick_steps_take_the_rates_of_the_schedule(frame, name):
    """The same weights by the plain steps of torch, which read the rate each time."""

    class Listener(Callback):
        def on_batch_end(self, net, **kwargs):
            pass

    settings = {"max_epochs": 3, "lr_schedule": "cosine", "lr": 0.01}
    quick = make_model(name, **settings).fit(frame)
    plain = make_model(name, **settings, callbacks=[Listener()]).fit(frame)
    constant = make_model(name, **{**settings, "lr_schedule": "constant"}).fit(frame)
    states = [list(m.net_.module_.state_dict().values()) for m in (quick, plain, constant)]
    assert all(torch.equal(a, b) for a, b in zip(*states[:2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states[0], states[2], strict=True))


@pytest.mark.parametrize("name", ["CTGAN", "TVAE"])
@pytest.mark.parametrize("step_every", ["epoch", "batch"])
@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler")  # critic steps come first
def test_scheduler_of_the_user_takes_effect(frame, name, step_every):
    """A rate of zero from the second epoch on leaves the weights of the first one."""
    settings = {"average_decay": 0.0} if name == "CTGAN" else {}
    short = make_model(name, max_epochs=1, **settings).fit(frame)
    n_steps = 1 if step_every == "epoch" else short.history_["train_batch_count"][0]

    def first_only(step):
        return float(step < n_steps)

    stop = LRScheduler("LambdaLR", lr_lambda=first_only, step_every=step_every)
    long = make_model(name, max_epochs=3, **settings, callbacks=[("rates", Rates()), stop])
    long.fit(frame)
    assert seen_rates(long)[1:, 0].tolist() == [0.0, 0.0]
    for one, other in zip(
        long.net_.module_.parameters(), short.net_.module_.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="lr_schedule='cosine' and an LRScheduler"):
        make_model(name, lr_schedule="cosine", callbacks=[LRScheduler]).fit(frame)


# The alarm


def make_alarm(real, **options):
    quality = TableQuality(real, KnownColumns(make_frame(2_000)))
    return CollapseAlarm(quality, owner="CTGAN", advice="Try TabularAR.")


def heard(real, rows, n_epochs=10):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_alarm(real)(rows, n_epochs)
    return [str(warning.message) for warning in caught]


def test_alarm_names_what_has_collapsed(frame):
    other = make_frame(seed=1)
    [message] = heard(frame, other.iloc[np.arange(300) % 40].reset_index(drop=True))
    assert "CTGAN: after 10 epochs sampled rows repeat, only 40 of 300 are distinct" in message
    assert "Try TabularAR." in message
    [message] = heard(frame, other.assign(city=np.where(other["sex"] == "m", "a", "b")))
    assert "hold 2 of the 5 levels that equally many real rows hold in column 'city';" in message
    [message] = heard(frame, other.assign(age=20 + other["age"] % 3))
    assert "ranges of the numbers that equally many real rows hold in column 'age';" in message


def test_alarm_is_silent_about_fresh_rows_and_rare_levels(frame):
    rng = np.random.default_rng(0)
    for seed in range(1, 20):
        assert heard(frame, make_frame(seed=seed)) == []
    rare = [0.996, 0.001, 0.001, 0.001, 0.001]
    tables = [pd.DataFrame({"a": rng.choice(list("abcde"), 1_000, p=rare)}) for _ in range(20)]
    codes = [pd.DataFrame({"a": rng.integers(0, 20_000, 1_000).astype(str)}) for _ in range(3)]
    for group in (tables, codes):
        known = KnownColumns(pd.concat(group))
        for real in group:
            alarm = CollapseAlarm(TableQuality(real, known), owner="CTGAN", advice="")
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for rows in group:
                    alarm(rows, 10)


def test_alarm_does_not_judge_networks_of_few_epochs_or_tables_of_few_rows(frame):
    rows = frame.iloc[np.zeros(300, dtype=int)].reset_index(drop=True)
    assert heard(frame, rows, n_epochs=9) == []
    assert heard(frame.head(40), rows.head(40)) == []


def collapsing(model, epoch):
    """Let the model forget all cities but one in some epoch."""

    def spoil(info):
        if info.epoch == epoch:
            layout = model.encoder_.layout_
            [span] = [span for span in layout.spans if span.name == "city"]
            last = (
                model.net_.module_.body.last if hasattr(model, "pac") else model.net_.module_.last
            )
            with torch.no_grad():
                last.bias[span.start] = 1e4

    return model.set_params(epoch_callback=spoil)


@pytest.mark.parametrize("name", ["CTGAN", "anyway", "TVAE"])
def test_training_warns_once_of_a_lost_column(frame, name):
    reference = make_model(name, preset="reference", max_epochs=10, batch_size=100)
    with pytest.warns(ConvergenceWarning, match="in column 'city'") as caught:
        collapsing(reference, 10).fit(frame)
    assert len(caught) == 1
    advice = "Raise max_epochs or latent_dim" if name == "TVAE" else "lower critic_lr, use a larger"
    assert advice in str(caught[0].message)
    stopping = {"early_stopping": True, "monitor": lambda real, rows: 0.0, "eval_every": 2}
    model = make_model(name, preset="reference", max_epochs=14, **stopping)
    model.set_params(validation_fraction=0.3)
    with pytest.warns(ConvergenceWarning, match="after 10 epochs") as caught:
        collapsing(model, 9).fit(frame)
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["CTGAN", "TVAE"])
def test_alarm_leaves_weights_and_rows_as_they_are(frame, name, monkeypatch):
    model = make_model(name, max_epochs=10)
    rows = copy.deepcopy(model).fit(frame).sample(50)
    again = copy.deepcopy(model).set_params(warm_start=True).fit(frame).fit(frame)
    monkeypatch.setattr(BaseTabularGenerator, "_look_for_collapse", lambda self, codes: None)
    pd.testing.assert_frame_equal(copy.deepcopy(model).fit(frame).sample(50), rows)
    unheard = copy.deepcopy(model).set_params(warm_start=True).fit(frame).fit(frame)
    pd.testing.assert_frame_equal(again.sample(50), unheard.sample(50))


# Tables at the limits


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_rows", [2, 59, 60, 61])
def test_tables_of_about_one_batch(frame, name, n_rows):
    model = make_model(name, batch_size=60).fit(frame.head(n_rows))
    assert len(model.sample(9)) == 9
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("name", MODELS)
def test_any_number_of_rows(frame, name):
    model = make_model(name).fit(frame)
    for n_samples in (0, 1, 59, 60, 61, 64, 65):
        rows = model.sample(n_samples)
        assert len(rows) == n_samples
        pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)


@pytest.mark.parametrize("name", MODELS)
def test_fit_and_requests_leave_the_frames_of_the_caller_alone(frame, name):
    table = frame.set_axis(np.arange(len(frame)) * 3 + 7, axis=0)
    known = table[["sex", "tall"]].head(4)
    before, asked = table.copy(deep=True), known.copy(deep=True)
    model = make_model(name).fit(table)
    model.sample(4, conditions=known.reset_index(drop=True))
    model.sample_remaining_columns(known, on_failure="force")
    model.score(table)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(known, asked)


@pytest.mark.parametrize("name", MODELS)
def test_loaded_model_draws_the_same_rows(frame, name, tmp_path):
    joblib = pytest.importorskip("joblib")
    model = make_model(name, lr_schedule="cosine", calibrate=True).fit(frame)
    joblib.dump(model, tmp_path / "model.joblib")
    model.save_weights(tmp_path / "model")
    rows = model.sample(30)
    for other in (
        joblib.load(tmp_path / "model.joblib"),
        pickle.loads(pickle.dumps(model)),
        type(model)().load_weights(tmp_path / "model"),
    ):
        pd.testing.assert_frame_equal(other.sample(30), rows)


@pytest.mark.parametrize("name", ["CTGAN", "anyway", "TVAE"])
def test_table_of_two_hundred_columns(name):
    rng = np.random.default_rng(0)
    columns = {f"x{k}": rng.normal(size=120) for k in range(120)}
    columns |= {f"c{k}": rng.choice(list("abc"), 120) for k in range(80)}
    table = pd.DataFrame(columns)
    rows = make_model(name, max_epochs=1, batch_size=40, max_clusters=2).fit(table).sample(15)
    assert list(rows) == list(table)
    assert rows.notna().all().all()


@pytest.mark.parametrize("name", ["CTGAN", "anyway", "TVAE"])
@pytest.mark.filterwarnings("ignore:A condition names a column")
def test_column_of_twenty_thousand_levels_in_bounded_memory(name):
    rng = np.random.default_rng(0)
    code = np.concatenate([np.arange(20_000), rng.integers(0, 20_000, 2_000)]).astype(str)
    table = pd.DataFrame({"code": code, "x": rng.normal(size=22_000)})
    model = make_model(name, max_epochs=1, batch_size=1_000)
    tracemalloc.start()
    model.fit(table)
    rows = model.sample(500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # one-hot codes of all rows as float32 would be 1.8 GB
    assert peak < 100e6
    assert model.encoder_.layout_.width < 40
    assert set(rows["code"]) <= set(code)


@pytest.mark.parametrize("name", MODELS)
def test_column_of_unique_text_warns_and_proposes_a_key(frame, name):
    keyed = frame.assign(name=[f"person {k}" for k in range(300)])
    with pytest.warns(UserWarning, match="Column 'name' holds another text.*primary_key"):
        rows = make_model(name).fit(keyed).sample(5)
    assert set(rows["name"]) <= set(keyed["name"])


# Further losses


AUXILIARY = ("information", "target")


@pytest.mark.parametrize("name", ["CTGAN", "single_discrete", "anyway"])
@pytest.mark.parametrize("target", ["sex", "score"])
def test_further_losses_are_in_the_history_and_change_the_weights(frame, name, target):
    plain = make_model(name).fit(frame)
    model = make_model(name, auxiliary=AUXILIARY, target=target).fit(frame)
    names = {"train_information_loss", "train_target_loss"}
    assert names <= set(model.history_) - set(plain.history_)
    assert np.isfinite(model.history_[list(names)].to_numpy(dtype=float)).all()
    unweighted = make_model(name, auxiliary=AUXILIARY, target=target, auxiliary_weight=0.0)
    unweighted.fit(frame)
    states = [m.net_.module_.body.last.weight for m in (model, unweighted)]
    assert not torch.equal(*states)
    assert len(model.sample(9, conditions={"sex": "m"})) == 9


def test_moment_distance_is_that_of_means_and_covariances():
    generator = torch.Generator().manual_seed(0)
    draw = lambda n: torch.randn(n, 3, generator=generator, dtype=torch.float64)  # noqa: E731
    mix = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], dtype=torch.float64)
    shift = torch.tensor([0.3, 0.0, -0.2], dtype=torch.float64)
    second = mix.t() @ mix + torch.outer(shift, shift)
    expected = shift.square().sum() + (second - torch.eye(3)).square().sum()
    # six standard errors of the mean over the batches
    found = [float(moment_distance(draw(50), draw(50) @ mix + shift)) for _ in range(1_000)]
    assert np.mean(found) == pytest.approx(float(expected), abs=1.0)
    same = [float(moment_distance(draw(50), draw(50))) for _ in range(1_000)]
    assert abs(np.mean(same)) < 6 * np.std(same) / np.sqrt(1_000)
    large = float(moment_distance(draw(20_000)[:4_000], draw(4_000) @ mix + shift))
    assert large == pytest.approx(float(expected), rel=0.1)


def test_information_loss_brings_moments_closer():
    frame = make_frame(600)
    settings = {"max_epochs": 30, "batch_size": 60, "lr": 2e-3, "preset": "reference"}
    gaps = []
    for auxiliary in ((), ("information",)):
        model = make_model("CTGAN", **settings, auxiliary=auxiliary).fit(frame)
        real, rows = (model.encoder_.transform(x) for x in (frame, model.sample(600)))
        gaps.append(np.square(np.cov(real.T) - np.cov(rows.T)).sum())
    assert gaps[1] < 0.7 * gaps[0]


@pytest.mark.parametrize("target", ["sex", "score", "city"])
def test_predictor_learns_from_real_rows_and_leaves_its_target_alone(frame, target):
    settings = {"auxiliary": ("target",), "target": target, "binary_encoder_cutoff": 5}
    model = make_model("single_discrete", max_epochs=1, **settings).fit(frame)
    layout, predictor = model.encoder_.layout_, model.net_.predictor_
    rows = torch.as_tensor(model.encoder_.transform(frame))
    spans = layout.spans_of(list(frame).index(target))
    own = [k for span in spans for k in range(span.start, span.stop)]
    assert predictor.own.tolist() == own
    soft = rows.clone().requires_grad_()
    predictor(soft).backward()
    assert (soft.grad[:, own] == 0).all()
    optimizer = torch.optim.Adam(predictor.parameters(), lr=0.01)
    first = predictor(rows).item()
    for _ in range(100):
        optimizer.zero_grad()
        predictor(rows).backward()
        optimizer.step()
    assert predictor(rows).item() < first - 0.1


@pytest.mark.slow
def test_target_loss_ties_the_target_to_the_rest():
    """Nine of ten m are tall, one of ten f; a young generator sees little of it."""
    frame = make_frame(600)[["sex", "tall"]]
    settings = {"max_epochs": 60, "batch_size": 60, "lr": 1e-3, "preset": "reference"}
    agree = []
    for options in ({}, {"auxiliary": ("target",), "target": "tall"}):
        rows = make_model("CTGAN", **settings, **options).fit(frame).sample(3_000)
        agree.append(((rows["sex"] == "m") == rows["tall"]).mean())
    assert agree[1] > agree[0] + 0.05  # 0.05 to 0.18 for seeds 0 to 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auxiliary": ("moments",)}, r"auxiliary must hold some of \('information', 'target'\)"),
        ({"auxiliary": ("target",)}, "target, the label of a column, go together"),
        ({"target": "sex"}, "target, the label of a column, go together"),
        ({"auxiliary": ("target",), "target": "hair"}, "target='hair' is no column"),
        ({"auxiliary_weight": -1.0}, "'auxiliary_weight' parameter"),
        ({"lr_schedule": "linear"}, "'lr_schedule' parameter"),
        ({"calibrate": "yes"}, "'calibrate' parameter"),
    ],
)
def test_wrong_options_are_named(frame, options, message):
    with pytest.raises(ValueError, match=message):
        make_model("CTGAN", **options).fit(frame)


def test_batch_callbacks_do_not_change_the_weights(frame):
    class Listener(Callback):
        def on_batch_end(self, net, **kwargs):
            pass

    options = {"auxiliary": AUXILIARY, "target": "sex"}
    quick, heard_of = (
        make_model("CTGAN", **options, callbacks=callbacks).fit(frame)
        for callbacks in (None, [Listener()])
    )
    for one, other in zip(quick.net_._weights(), heard_of.net_._weights(), strict=True):
        assert torch.equal(one, other)
    names = ["train_information_loss", "train_target_loss"]
    np.testing.assert_allclose(heard_of.history_[names], quick.history_[names], rtol=1e-5)


# Training that goes on from files


@pytest.mark.parametrize("name", MODELS)
def test_training_goes_on_after_loading(frame, name, tmp_path):
    options = {} if name == "TVAE" else {"auxiliary": AUXILIARY, "target": "sex"}
    model = make_model(name, **options).fit(frame)
    before = dict(vars(model))
    model.save_weights(tmp_path / "model")
    assert vars(model).keys() == before.keys()
    loaded = type(model)().load_weights(tmp_path / "model")
    loaded.set_params(warm_start=True, random_state=0)
    if name != "TVAE":
        for one, other in zip(model.net_._weights(), loaded.net_._weights(), strict=True):
            assert torch.equal(one, other)
        assert loaded.net_.steps_ == model.net_.steps_ == 10
    rows = model.sample(20)
    loaded.set_params(max_epochs=0).fit(frame)
    pd.testing.assert_frame_equal(loaded.sample(20), rows)
    loaded.set_params(max_epochs=1).fit(frame)
    assert loaded.n_iter_ == 3
    assert loaded.history_["epoch"].tolist() == [1, 2, 3]


def test_full_disk_leaves_the_old_files_of_a_gan_intact(frame, tmp_path, monkeypatch):
    model = make_model("CTGAN").fit(frame)
    model.save_weights(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    for place in ("safetensors.numpy.save_file", "pathlib.Path.write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(OSError, match="No space left"):
                make_model("CTGAN", random_state=1).fit(frame).save_weights(tmp_path / "model")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Calibrated rows


def share_errors(real, rows, columns=("sex", "tall", "city")):
    return [
        (real[label].value_counts(normalize=True) - rows[label].value_counts(normalize=True))
        .abs()
        .max()
        for label in columns
    ] + [abs(real["score"].isna().mean() - rows["score"].isna().mean())]


@pytest.mark.parametrize("name", MODELS)
def test_calibrated_rows_have_the_level_shares_of_training(frame, name):
    model = make_model(name, preset="reference", max_epochs=4).fit(frame)
    plain = model.sample(5_000)
    model.set_params(calibrate=True)
    rows = model.sample(5_000)
    # four standard errors of a share in 5,000 independent rows
    assert max(share_errors(frame, rows)) < 0.028 < 0.05 < max(share_errors(frame, plain))
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    pd.testing.assert_frame_equal(model.sample(5_000), rows)
    assert not model.sample(5_000, random_state=1).equals(rows)
    chunks = list(model.sample_iter(5_000, chunk_size=2_400))
    assert [len(chunk) for chunk in chunks] == [2_400, 2_400, 200]
    assert max(share_errors(frame, pd.concat(chunks))) < 0.028
    for n_samples in (0, 1):
        assert len(model.sample(n_samples)) == n_samples


def test_single_calibrated_rows_have_the_shares_too(frame):
    model = make_model("CTGAN", preset="reference").fit(frame)
    [span] = [span for span in model.encoder_.layout_.spans if span.name == "sex"]
    with torch.no_grad():
        model.net_.module_.body.last.bias[span.start] += 2.0
    real, plain = ((table["sex"] == "m").mean() for table in (frame, model.sample(2_000)))
    model.set_params(calibrate=True)
    rows = pd.concat(model.sample(1, random_state=seed) for seed in range(100))
    # four standard errors
    assert abs((rows["sex"] == "m").mean() - real) < 0.2 < abs(plain - real)


def test_requests_by_rejection_are_not_calibrated(frame, tmp_path):
    model = make_model("CTGAN").fit(frame)
    odd = [lambda table: table["age"] % 2 == 1]
    ruled = make_model("CTGAN", constraints=odd).fit(frame[frame["age"] % 2 == 1])
    requests = [
        (model, {"conditions": {"sex": "m"}}),
        (model, {"where": "age>=30"}),
        (ruled, {}),
    ]
    for one, request in requests:
        expected = one.sample(20, **request)
        one.set_params(calibrate=True)
        pd.testing.assert_frame_equal(one.sample(20, **request), expected)
        one.set_params(calibrate=False)
    rows = model.set_params(calibrate=True).sample(20, output_file_path=tmp_path / "rows.csv")
    assert len(pd.read_csv(tmp_path / "rows.csv")) == len(rows) == 20
    with pytest.raises(ValueError, match="max_tries must be at least 1"):
        model.sample(20, max_tries=0)


def test_constraints_kept_by_construction_stay_so_in_calibrated_rows():
    frame = make_frame().assign(town=lambda table: table["city"].str.upper())
    rules = [FixedCombinations(["city", "town"])]
    model = make_model("CTGAN", preset="reference", constraints=rules, calibrate=True).fit(frame)
    rows = model.sample(5_000)
    assert (rows["city"].str.upper() == rows["town"]).all()
    assert max(share_errors(frame, rows)) < 0.028


def test_raking_agrees_with_proportional_fitting_of_the_table():
    rng = np.random.default_rng(0)
    codes = RowCodes(np.empty((4_000, 0), np.float32), [rng.integers(0, k, 4_000) for k in (2, 3)])
    shares = [np.array([0.8, 0.2]), np.array([0.5, 0.4, 0.1])]
    weights = rake(codes, shares)
    table = np.zeros((2, 3))
    np.add.at(table, tuple(codes.codes), 1.0)
    for _ in range(100):
        table *= (shares[0] / table.sum(axis=1))[:, None]
        table *= shares[1] / table.sum(axis=0)
    found = np.zeros((2, 3))
    np.add.at(found, tuple(codes.codes), weights)
    np.testing.assert_allclose(found, table, atol=1e-4)
    assert weights.sum() == pytest.approx(1.0)


def test_raking_bears_levels_that_no_row_has_and_codes_of_no_level():
    codes = RowCodes(np.empty((100, 0), np.float32), [np.repeat([0, 1, 4], [50, 40, 10])])
    weights = rake(codes, [np.array([0.2, 0.2, 0.3, 0.3])])
    np.testing.assert_allclose(weights, np.repeat([0.01, 0.0125, 0.0], [50, 40, 10]))
    codes = RowCodes(np.empty((9, 0), np.float32), [np.full(9, 4)])
    np.testing.assert_allclose(rake(codes, [np.array([0.2, 0.2, 0.3, 0.3])]), 1 / 9)
    assert len(rake(codes, [None])) == 9


def test_systematic_rows_follow_their_weights_to_one_row():
    rng = np.random.default_rng(0)
    weights = rng.random(400) ** 3
    weights[7] = 0.0
    counts = np.bincount(systematic_rows(weights, 100, rng), minlength=400)
    expected = 100 * weights / weights.sum()
    assert (np.abs(counts - expected) < 1).all()
    assert counts[7] == 0
    assert (np.bincount(systematic_rows(np.ones(400), 100, rng)) <= 1).all()
