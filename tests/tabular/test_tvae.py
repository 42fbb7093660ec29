"""TVAE: round trips, conditions, early stopping, seeds, weights and messages."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

from synth_estimators._networks.tabular import SpanTable
from synth_estimators.tabular import CTGAN, TVAE, FixedCombinations, Inequality, TabularAR
from synth_estimators.tabular._base import compact_rows
from synth_estimators.tabular._known_columns import KnownColumns
from synth_estimators.tabular._quality import TableQuality, detection_score
from synth_estimators.tabular._spans import silent_levels, span_shares

TINY = {"latent_dim": 3, "hidden": (16,), "max_epochs": 3, "batch_size": 64, "random_state": 0}


def make_table(n_rows=240, seed=0):
    rng = np.random.default_rng(seed)
    job = rng.choice(["clerk", "nurse", "pilot"], n_rows, p=[0.6, 0.35, 0.05])
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows),
            "gain": np.where(rng.random(n_rows) < 0.9, 0.0, rng.gamma(2, 900, n_rows).round(2)),
            "job": job,
            "tall": rng.random(n_rows) < np.where(job == "nurse", 0.9, 0.1),
            "day": pd.Timestamp("2013-01-01")
            + pd.to_timedelta(rng.integers(0, 365, n_rows), unit="D"),
        }
    )
    frame["later"] = frame["age"] + rng.integers(0, 9, n_rows)
    frame["debt"] = -rng.gamma(3.0, 2.0, n_rows)
    frame.loc[::6, "debt"] = np.nan
    return frame


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def model(table):
    return TVAE(**TINY).fit(table)


def test_rows_have_the_dtypes_and_cells_of_the_table(model, table):
    rows = model.sample(500)
    assert (rows.dtypes == table.dtypes).all()
    assert list(rows.index) == list(range(500))
    assert set(rows["job"]) <= set(table["job"])
    assert rows["age"].between(18, 79).all()
    # shares of levels start at those of the table; 0.06 is three standard errors and more
    assert abs((rows["gain"] == 0).mean() - (table["gain"] == 0).mean()) < 0.06
    assert abs(rows["debt"].isna().mean() - table["debt"].isna().mean()) < 0.06


@pytest.mark.parametrize("n_samples", [0, 1, 63, 64, 65])
def test_any_number_of_rows(model, n_samples):
    assert model.sample(n_samples).shape == (n_samples, 7)


@pytest.mark.parametrize(
    "conditions",
    [
        {"job": "pilot"},
        {"tall": True},
        {"age": 40},
        {"gain": 0.0},
        {"debt": None},
        {"debt": -5.0},
        {"day": pd.Timestamp("2013-06-01")},
        {"job": "nurse", "tall": True},
    ],
    ids=str,
)
def test_conditions_on_every_type(model, conditions):
    rows = model.sample(3, conditions=conditions, float_rtol=0.05)
    assert len(rows) == 3
    for label, value in conditions.items():
        assert rows[label].isna().all() if value is None else (rows[label] == value).all()


def test_constraints_are_kept_by_construction():
    frame = make_table()
    rules = [Inequality("age", "later"), FixedCombinations(["job", "tall"])]
    model = TVAE(**TINY, constraints=rules).fit(frame)
    rows = model.sample(300)
    assert (rows["age"] <= rows["later"]).all()
    assert not hasattr(model, "sampling_report_")
    got = model.sample(4, conditions={"later": 40, "job": "clerk"})
    assert got["later"].tolist() == [40] * 4


def test_training_learns_dependence():
    frame = make_table(600)
    model = TVAE(latent_dim=4, hidden=(32,), max_epochs=60, batch_size=50, random_state=0)
    rows = model.fit(frame[["job", "tall"]]).sample(2000)
    shares = rows.groupby("job")["tall"].mean()
    # 0.9 and 0.1 in the table; an independent model gives 0.38 to both
    assert shares["nurse"] > 0.75
    assert shares["clerk"] < 0.25
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_rare_levels_are_drawn():
    frame = pd.DataFrame({"level": ["common"] * 190 + ["rare"] * 10})
    rows = TVAE(**TINY).fit(frame).sample(2000)
    # the share is 0.05; drawing the likeliest level would give none
    assert 0.03 < (rows["level"] == "rare").mean() < 0.07


def test_compact_rows_expand_to_the_encoded_rows(table):
    frame = table.assign(code=[f"c{i % 37}" for i in range(len(table))])
    encoder = TVAE(**TINY).fit(frame).encoder_.set_params(binary_encoder_cutoff=20)
    encoder.fit(frame)
    codes = encoder._codes(frame, np.random.default_rng(0))
    layout = encoder.layout_
    assert layout.n_bits == 6
    dense = encoder._dense(codes)
    expanded = SpanTable.from_layout(layout).expand(torch.as_tensor(compact_rows(codes)))
    np.testing.assert_array_equal(expanded.numpy(), dense)
    shares = span_shares(layout, codes)
    np.testing.assert_allclose(shares, dense[:, layout.n_scalars :].mean(axis=0), atol=1e-6)


def test_scalars_beside_spikes_and_missing_cells_are_silent(model, table):
    layout = model.encoder_.layout_
    encoded = model.encoder_.transform(table)
    first = layout.n_scalars + layout.n_bits
    silent = {name: np.zeros(len(table)) for name in layout.names[: layout.n_scalars]}
    for scalar, level in silent_levels(layout):
        silent[layout.names[scalar]] += encoded[:, first + level]
    np.testing.assert_array_equal(silent["gain.value"], table["gain"] == 0)
    np.testing.assert_array_equal(silent["debt.value"], table["debt"].isna())
    assert not silent["day.value"].any()


def test_same_seed_same_rows_and_global_generators_untouched(table):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (TVAE(**TINY).fit(table).sample(50) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


def test_fit_leaves_the_table_alone(table):
    before = table.copy(deep=True)
    TVAE(**TINY).fit(table)
    pd.testing.assert_frame_equal(table, before)


def test_codes_lead_to_rows_and_back(model, table):
    codes = model.transform(table)
    assert codes.shape == (len(table), 3)
    np.testing.assert_array_equal(codes, model.transform(table))
    decoded = model.inverse_transform(codes)
    assert (decoded.dtypes == table.dtypes).all()
    pd.testing.assert_frame_equal(decoded, model.reconstruct(table))


@pytest.mark.parametrize("monitor", ["valid_loss", "quality", "c2st"])
def test_early_stopping_keeps_the_best_weights(table, monitor):
    settings = {**TINY, "max_epochs": 40, "lr": 0.05}
    model = TVAE(**settings, early_stopping=True, monitor=monitor, patience=2, eval_every=2).fit(
        table
    )
    assert model.n_iter_ < 40
    column = "valid_loss" if monitor == "valid_loss" else "two_sample"
    values = model.history_[column]
    best = values.idxmin() if monitor == "valid_loss" else values.idxmax()
    assert model.best_epoch_ == model.history_["epoch"][best]


def test_own_monitor_sees_real_and_sampled_rows(table):
    seen = []

    def monitor(real, rows):
        seen.append((len(real), len(rows), list(rows.columns) == list(table.columns)))
        return 0.0

    TVAE(**TINY, early_stopping=True, monitor=monitor, eval_every=1).fit(table)
    assert seen == [(24, 24, True)] * 3


def test_quality_is_one_for_equal_tables_and_falls_with_distance(table):
    known = KnownColumns(table)
    quality = TableQuality(table, known)
    assert quality(table) == pytest.approx(1.0)
    shuffled = pd.DataFrame(
        {
            label: table[label].sample(frac=1, random_state=seed).to_numpy()
            for seed, label in enumerate(table.columns)
        }
    )
    moved = table.assign(age=table["age"] + 30)
    assert quality(shuffled) < 0.99
    assert quality(moved) < 0.95
    assert detection_score(table, make_table(seed=1), known) > 0.8
    assert detection_score(table, moved, known) < 0.5


def test_epoch_callback_hears_every_epoch(table):
    seen = []
    model = TVAE(**TINY, epoch_callback=seen.append).fit(table)
    assert [info.epoch for info in seen] == [1, 2, 3]
    assert seen[0].to_dict()["loss_g"] == round(model.loss_curve_[0], 4)


@pytest.mark.parametrize(("preset", "expected"), [("tuned", 100), ("reference", 500)])
def test_batch_size_of_a_preset(table, preset, expected):
    settings = {**TINY, "batch_size": None, "max_epochs": 1, "preset": preset}
    rows = pd.concat([table] * (600 // len(table) + 1), ignore_index=True)
    assert TVAE(**settings).fit(rows).net_.batch_size == expected
    few = TVAE(**settings).fit(table.head(40))
    assert few.net_.batch_size == 40


@pytest.mark.parametrize("kind", [TVAE, CTGAN, TabularAR])
def test_compact_copies_refuse_to_be_trained_further(table, kind):
    model = kind(max_epochs=1, random_state=0).fit(table).compact().set_params(warm_start=True)
    assert len(model.sample(3)) == 3
    with pytest.raises(ValueError, match=rf"This {kind.__name__} comes from compact\(\)"):
        model.fit(table)


def test_interrupted_training_keeps_a_model_and_says_so(table):
    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.history[-1, "epoch"] == 2:
                self.raise_in_next = True

        def on_epoch_begin(self, net, **kwargs):
            if getattr(self, "raise_in_next", False):
                net.train_step = self.stop

        @staticmethod
        def stop(*args, **kwargs):
            raise KeyboardInterrupt

    model = TVAE(**{**TINY, "max_epochs": 9}, callbacks=[("stop", Interrupt())])
    with (
        pytest.warns(UserWarning, match="interrupted after 2 of 9"),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(table)
    assert model.n_iter_ == 2
    assert model.sample(5).shape == (5, 7)


def test_warm_start_goes_on(table):
    model = TVAE(**TINY, warm_start=True).fit(table).fit(table)
    assert model.n_iter_ == 6
    with pytest.raises(ValueError, match="cannot change latent_dim"):
        model.set_params(latent_dim=5).fit(table)


def test_no_epochs_leave_an_untrained_model(table):
    model = TVAE(**{**TINY, "max_epochs": 0}).fit(table)
    assert model.n_iter_ == 0
    assert model.sample(3).shape == (3, 7)


def test_copies_sample_the_same_rows(model):
    rows = model.sample(20)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        pd.testing.assert_frame_equal(other.sample(20), rows)


def test_weights_lead_back_to_the_model(table, tmp_path):
    frame = table.assign(
        when=table["day"].dt.tz_localize("Europe/Oslo"),
        grade=pd.Categorical(table["job"], ["pilot", "nurse", "clerk"], ordered=True),
        count=table["age"].astype("Int64"),
    )
    rules = [Inequality("age", "later"), FixedCombinations(["job", "grade"])]
    model = TVAE(**TINY, constraints=rules).fit(frame)
    model.save_weights(tmp_path / "model")
    loaded = TVAE().load_weights(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.sample(50), model.sample(50))
    wanted = {"when": frame["when"].iloc[0], "job": "nurse"}
    options = {"conditions": wanted, "float_rtol": 0.3, "random_state": 1}
    pd.testing.assert_frame_equal(loaded.sample(3, **options), model.sample(3, **options))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_full_disk_leaves_the_old_files_intact(table, model, tmp_path, monkeypatch):
    model.save_weights(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    for target in ("safetensors.numpy.save_file", "pathlib.Path.write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(target, full)
            with pytest.raises(OSError, match="No space left"):
                TVAE(**TINY).fit(table.head(50)).save_weights(tmp_path / "model")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_saved_model_leaves_the_epoch_callback_out(table):
    model = TVAE(**TINY, epoch_callback=print)
    assert pickle.loads(pickle.dumps(model)).epoch_callback is print
    model.fit(table)
    with pytest.warns(UserWarning, match="epoch_callback of TVAE is left out"):
        assert pickle.loads(pickle.dumps(model)).epoch_callback is None
    assert model.epoch_callback is print


@pytest.mark.parametrize(
    ("frame", "n_rows"),
    [
        (make_table(7), 7),
        (make_table(50)[["job"]], 50),
        (make_table(50)[["debt"]], 50),
        (make_table(50)[["gain", "age"]].to_numpy(), 50),
        (make_table(50)[["job", "gain"]].to_numpy(), 50),
    ],
    ids=["7 rows", "one text column", "one number", "array", "array of objects"],
)
def test_small_and_narrow_tables(frame, n_rows):
    rows = TVAE(**TINY).fit(frame).sample(12)
    assert rows.shape == (12, frame.shape[1])
    assert type(rows) is type(frame)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"discrete_columns": ["colour"]}, "Invalid columns found.*colour"),
        ({"epoch_callback": 3}, "epoch_callback must be callable"),
        ({"hidden": (0,)}, "positive integers"),
        ({"max_epochs": -1}, "max_epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"monitor": "mood"}, "monitor"),
        ({"constraints": [Inequality("later", "age")]}, "training rows break Inequality"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(table, settings, message):
    with pytest.raises(ValueError, match=message):
        TVAE(**{**TINY, **settings}).fit(table)


def test_bad_tables_are_refused(table):
    with pytest.raises(ValueError, match="duplicated"):
        TVAE(**TINY).fit(pd.concat([table, table[["age"]]], axis=1))
    with pytest.raises(ValueError, match="infinity in column 'debt'"):
        TVAE(**TINY).fit(table.assign(debt=np.inf))
    with pytest.raises(ValueError, match="minimum of 2"):
        TVAE(**TINY).fit(table.head(1))


@pytest.mark.slow
def test_adult_after_ten_epochs(data_folder):
    frame = pd.read_csv(data_folder / "tabular" / "adult.csv")
    order = np.random.RandomState(0).permutation(len(frame))
    train, rest = (frame.iloc[part].reset_index(drop=True) for part in np.split(order, [26_048]))
    model = TVAE(max_epochs=10, random_state=0).fit(train)
    rows = model.sample(len(train))
    quality = TableQuality(rest, model._known)
    # the published model reaches shapes of 0.756 and trends of 0.572 here, 0.66 together
    assert quality(rows) > 0.95
    assert rows["native-country"].nunique() >= 40
    assert abs((rows["capital-gain"] == 0).mean() - (train["capital-gain"] == 0).mean()) < 0.01
    wanted = {"age": 35, "workclass": None, "income": "<=50K"}
    got = model.sample(20, conditions=wanted)
    assert (got["age"] == 35).all()
    assert got["workclass"].isna().all()


@pytest.mark.slow
def test_flights_keep_types_and_missing_cells(data_folder):
    frame = pd.read_csv(data_folder / "tabular" / "flights15k.csv", parse_dates=["time_hour"]).head(
        4000
    )
    model = TVAE(max_epochs=5, random_state=0).fit(frame)
    rows = model.sample(4000)
    assert (rows.dtypes == frame.dtypes).all()
    assert (rows["year"] == 2013).all()
    assert (rows.isna().mean() - frame.isna().mean()).abs().max() < 0.02
    later = model.sample(5, conditions={"dep_delay": -5.0}, where="time_hour>=2013-06-01")
    assert (later["dep_delay"] == -5.0).all()
    assert (later["time_hour"] >= "2013-06-01").all()
