"""Tests of CTGAN and ACTGAN."""

import copy
import json
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from synth_estimators.tabular._actgan import ACTGAN, ConditionalVectorType
from synth_estimators.tabular._ctgan import CTGAN
from synth_estimators.tabular._gan_net import TabularGANEngine

TINY = {
    "latent_dim": 8,
    "generator_hidden": (16,),
    "critic_hidden": (16,),
    "max_epochs": 2,
    "batch_size": 60,
    "random_state": 0,
}
ANYWAY = {"conditional_vector_type": "anyway", "conditional_select_mean_columns": 2}


def make_frame(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    pay = np.where(rng.random(n_rows) < 0.5, 0.0, rng.lognormal(3, 1, n_rows).round(1))
    score = rng.normal(-5, 1, n_rows).round(2)
    score[rng.random(n_rows) < 0.25] = np.nan
    days = pd.to_timedelta(rng.integers(0, 20, n_rows), unit="D")
    return pd.DataFrame(
        {
            "age": rng.integers(18, 25, n_rows),
            "pay": pay,
            "score": score,
            "day": pd.Timestamp("2024-01-01") + days,
            "sex": rng.choice(["f", "m"], n_rows, p=[0.8, 0.2]),
            "ok": rng.random(n_rows) < 0.4,
            "city": pd.Categorical(rng.choice(["a", "b", "c"], n_rows)),
        }
    )


@pytest.fixture(scope="module")
def frame():
    return make_frame(300)


@pytest.fixture(scope="module")
def fitted(frame):
    return {
        "ctgan": CTGAN(**TINY).fit(frame),
        "single_discrete": ACTGAN(**TINY, binary_encoder_cutoff=3).fit(frame),
        "anyway": ACTGAN(**TINY, **ANYWAY, binary_encoder_cutoff=3).fit(frame),
    }


MODES = ["ctgan", "single_discrete", "anyway"]
CONDITIONS = {
    "number": {"age": 20},
    "spike": {"pay": 0.0},
    "negative": {"score": -5.0},
    "missing": {"score": None},
    "date": {"day": "2024-01-05"},
    "level": {"sex": "m"},
    "boolean": {"ok": True},
    "binary code": {"city": "b"},
    "two columns": {"sex": "m", "score": None},
}


@pytest.mark.parametrize("mode", MODES)
def test_rows_have_columns_dtypes_and_range_of_the_table(frame, fitted, mode):
    for n_samples in (0, 1, 61):
        rows = fitted[mode].sample(n_samples)
        assert len(rows) == n_samples
        pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    assert rows["age"].between(18, 24).all()
    assert rows["score"].isna().any()
    assert (rows["pay"] == 0).mean() > 0.1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", CONDITIONS)
def test_conditions_of_every_kind_are_met(fitted, mode, kind):
    model, conditions = fitted[mode], CONDITIONS[kind]
    rows = model.sample(7, conditions=conditions, random_state=1)
    assert len(rows) == 7
    for column, value in conditions.items():
        if value is None:
            assert rows[column].isna().all()
        else:
            wanted = pd.Timestamp(value) if column == "day" else value
            assert (rows[column] == wanted).all()
    assert model.sampling_report_.accepted == 7


@pytest.mark.parametrize("mode", MODES)
def test_remaining_columns_keep_order_index_and_values(fitted, mode):
    known = pd.DataFrame({"sex": ["m", "f", "m", "f"], "age": [18, 20, 22, 24]}, index=[7, 3, 9, 1])
    rows = fitted[mode].sample_remaining_columns(known, on_failure="force", random_state=0)
    assert rows.index.tolist() == [7, 3, 9, 1]
    pd.testing.assert_frame_equal(rows[["sex", "age"]], known, check_dtype=False)
    assert list(rows) == ["age", "pay", "score", "day", "sex", "ok", "city"]


def test_steering_beats_free_draws(frame):
    settings = {**TINY, "max_epochs": 40, "lr": 2e-3, "batch_size": 60}
    for model in (CTGAN(**settings), ACTGAN(**settings, **ANYWAY)):
        model.fit(frame).sample(2_000, conditions={"sex": "m"}, max_tries=1, random_state=0)
        assert model.sampling_report_.acceptance > 0.6  # one row in five without a condition


def test_free_rows_have_the_true_share_of_a_rare_level():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"rare": rng.permutation(np.repeat(["a", "b"], [990, 10])), "x": rng.normal(size=1_000)}
    )
    model = CTGAN(**{**TINY, "max_epochs": 100, "batch_size": 100, "lr": 2e-3}).fit(frame)
    assert (model.sample(4_000)["rare"] == "b").mean() < 0.05


def test_condition_reaches_the_generator_as_encoded(frame, fitted):
    model = fitted["anyway"]
    layout = model.encoder_.layout_
    wanted = pd.DataFrame({"city": ["b", "c"], "age": [20, 21]}).astype(
        {"city": frame["city"].dtype, "age": "int64"}
    )
    rng = np.random.default_rng(0)
    encoded = model._encode_conditions(wanted, rng)
    found = model._condition(2, rng, encoded).numpy()
    known = [k for k in (0, 6) for span in layout.spans_of(k) for k in range(span.start, span.stop)]
    others = np.setdiff1d(np.arange(layout.width), known)
    assert (found[:, others] == 0).all()
    dense = model.encoder_._dense(encoded.codes)
    np.testing.assert_array_equal(found[:, known], dense[:, known])
    assert (model._condition(3, rng, None).numpy() == 0).all()


def test_flags_say_which_columns_are_named(frame):
    model = ACTGAN(**TINY, **ANYWAY, condition_mask=True).fit(frame)
    width = model.encoder_.layout_.width
    assert model.net_.module_.n_conditions == width + 7
    encoded = model._encode_conditions(pd.DataFrame({"ok": [True]}), np.random.default_rng(0))
    found = model._condition(1, np.random.default_rng(0), encoded).numpy()
    assert found[0, width:].tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert len(model.sample(3, conditions={"ok": True})) == 3


@pytest.mark.parametrize("mode", MODES)
def test_seed_decides_fit_and_rows_and_leaves_the_global_generator_alone(frame, fitted, mode):
    state = torch.random.get_rng_state()
    again = clone(fitted[mode]).fit(frame)
    rows = again.sample(20, conditions={"sex": "f"})
    pd.testing.assert_frame_equal(rows, fitted[mode].sample(20, conditions={"sex": "f"}))
    assert not rows.equals(again.sample(20, conditions={"sex": "f"}, random_state=5))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("mode", MODES)
def test_pickle_deepcopy_and_weights_give_the_same_rows(fitted, mode, tmp_path):
    model = fitted[mode]
    expected = model.sample(15)
    model.save_weights(tmp_path / "model")
    others = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        type(model)().load_weights(tmp_path / "model"),
        model.compact(),
    ]
    for other in others:
        pd.testing.assert_frame_equal(other.sample(15), expected)
        assert len(other.sample(3, conditions={"sex": "m"})) == 3


def test_training_rows_are_not_kept(frame):
    model = CTGAN(**TINY).fit(frame.assign(x=np.linspace(0, 1, 300)))
    larger = CTGAN(**TINY).fit(make_frame(3_000).assign(x=np.linspace(0, 1, 3_000)))
    assert len(pickle.dumps(larger)) < 1.3 * len(pickle.dumps(model))


def test_fit_leaves_the_table_alone(frame):
    before = frame.copy(deep=True)
    ACTGAN(**TINY, **ANYWAY).fit(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_all_options_reach_a_grid_search(frame):
    search = GridSearchCV(CTGAN(**TINY), {"pac": [1, 10], "lr": [1e-4, 1e-3]}, cv=2)
    assert np.isfinite(search.fit(frame).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "b": list("xyxyxyx")}),
        pd.DataFrame({"a": np.linspace(0, 1, 80)}),
        pd.DataFrame({"a": list("xy") * 40}),
        pd.DataFrame({"a": np.linspace(0, 1, 80) ** 2, "b": np.linspace(3, 2, 80)}),
        pd.DataFrame({"a": list("xyzt") * 20, "b": list("uv") * 40}),
        pd.DataFrame({"a": [f"{k}" for k in range(16)] * 5, "b": [f"{k}" for k in range(20)] * 4}),
        pd.DataFrame({"a": [3] * 80, "b": [None] * 80, "c": list("xy") * 40}),
    ],
    ids=["7 rows", "one number", "one text", "numbers", "text", "codes", "constants"],
)
@pytest.mark.parametrize("options", [{}, ANYWAY], ids=["single_discrete", "anyway"])
@pytest.mark.filterwarnings("ignore:A condition names a column")
def test_odd_tables_give_rows_of_their_kind(table, options):
    model = ACTGAN(**{**TINY, "batch_size": 40}, **options, binary_encoder_cutoff=10).fit(table)
    rows = model.sample(11)
    assert rows.shape == (11, table.shape[1])
    for column in table.select_dtypes(exclude="float"):
        assert set(rows[column].dropna()) <= set(table[column].dropna())


def test_arrays_come_back_as_arrays():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=90), rng.integers(0, 3, 90)])
    rows = CTGAN(**TINY, discrete_columns=[1]).fit(X).sample(12)
    assert isinstance(rows, np.ndarray)
    assert set(rows[:, 1]) <= {0.0, 1.0, 2.0}


def test_batches_are_lowered_to_multiples_of_pac():
    for n_rows, expected in ((57, 50), (17, 20), (600, 100)):
        model = CTGAN(**{**TINY, "batch_size": 100}, n_critic=1, pac=10).fit(make_frame(n_rows))
        assert model.net_.batch_size == expected
    steps = model.net_.critic_steps_, model.net_.steps_
    assert steps == (12, 12)
    model.set_params(n_critic=3).fit(make_frame(600))
    assert (model.net_.critic_steps_, model.net_.steps_) == (36, 12)


@pytest.mark.parametrize(
    ("preset", "pac", "lr", "critic_lr", "dropout"),
    [("tuned", 1, 5e-4, 5e-4, 0.2), ("reference", 10, 2e-4, 2e-4, 0.5)],
)
def test_presets_fill_what_is_none(frame, preset, pac, lr, critic_lr, dropout):
    net = CTGAN(**{**TINY, "max_epochs": 1}, preset=preset).fit(frame).net_
    rates = [opt.param_groups[0]["lr"] for opt in (net.optimizer_, net.optimizer_critic_)]
    assert (net.critic_.pac, net.critic_.dropout, rates) == (pac, dropout, [lr, critic_lr])
    own = CTGAN(**{**TINY, "max_epochs": 1}, preset=preset, lr=1e-3).fit(frame).net_
    assert own.optimizer_.param_groups[0]["lr"] == 1e-3


def test_reference_preset_averages_nothing_and_starts_at_random(frame):
    model = CTGAN(**{**TINY, "max_epochs": 0}, preset="reference").fit(frame)
    assert model.net_.module_.average is None
    tuned = CTGAN(**{**TINY, "max_epochs": 0}).fit(frame)
    assert tuned.net_.module_.average is not None
    share = (frame["sex"] == "f").mean()
    found = (tuned.sample(2_000)["sex"] == "f").mean()
    assert abs(found - share) < 0.1


def test_callback_hears_of_every_epoch_and_is_left_out_of_pickles(frame):
    told = []
    model = CTGAN(**TINY, epoch_callback=told.append).fit(frame)
    assert [info.epoch for info in told] == [1, 2]
    last = model.history_.iloc[-1]
    assert told[-1].loss_g == round(last["train_loss"], 4)
    assert told[-1].loss_d == round(last["train_critic_loss"], 4)
    assert told[-1].loss_r == last["train_reconstruction_loss"] > 0
    assert set(told[0].to_dict()) == {"epoch", "loss_g", "loss_d", "loss_r"}
    with pytest.warns(UserWarning, match="epoch_callback of CTGAN is left out"):
        small = pickle.dumps(model)
    assert pickle.loads(small).epoch_callback is None


def test_early_stopping_keeps_the_best_weights(frame):
    scores = iter([0.5, 0.9, 0.4, 0.3])
    model = CTGAN(
        **{**TINY, "max_epochs": 20},
        early_stopping=True,
        monitor=lambda real, rows: next(scores),
        eval_every=2,
        patience=2,
    ).fit(frame)
    assert model.n_iter_ == 8
    assert model.best_epoch_ == 4
    assert len(model.sample(5)) == 5


def test_warm_start_goes_on_and_refuses_another_shape(frame):
    model = CTGAN(**TINY, warm_start=True).fit(frame)
    steps = model.net_.steps_
    model.set_params(lr=1e-3, critic_lr=3e-3, critic_weight_decay=0.1).fit(frame)
    assert model.n_iter_ == 4
    assert model.net_.steps_ == 2 * steps
    assert model.net_.optimizer_.param_groups[0]["lr"] == 1e-3
    assert model.net_.optimizer_critic_.param_groups[0]["lr"] == 3e-3
    assert model.net_.optimizer_critic_.param_groups[0]["weight_decay"] == 0.1
    with pytest.raises(ValueError, match="warm_start=True cannot change pac"):
        model.set_params(pac=5).fit(frame)


def test_batch_callbacks_do_not_change_the_weights(frame):
    class Listener(Callback):
        def on_batch_end(self, net, **kwargs):
            pass

    plain = CTGAN(**TINY).fit(frame)
    heard = CTGAN(**TINY, callbacks=[Listener()]).fit(frame)
    for one, other in zip(
        plain.net_.module_.parameters(), heard.net_.module_.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert heard.loss_curve_ == pytest.approx(plain.loss_curve_)


def test_interrupted_training_keeps_a_model_that_samples(frame, monkeypatch):
    steps = []
    step = TabularGANEngine._generator_step

    def interrupted(self, batch):
        steps.append(batch)
        if len(steps) == 12:  # five steps an epoch
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(TabularGANEngine, "_generator_step", interrupted)
    model = CTGAN(**{**TINY, "max_epochs": 9})
    with (
        pytest.raises(KeyboardInterrupt),
        pytest.warns(UserWarning, match="CTGAN was interrupted after 2 of 9 epochs"),
    ):
        model.fit(frame)
    assert model.n_iter_ == 2
    assert len(model.sample(4)) == 4


def test_diverged_training_tells_the_step_sizes_and_keeps_finite_weights(frame):
    def spoil(info):
        if info.epoch == 2:
            with torch.no_grad():
                model.net_.critic_.first.bias.fill_(torch.nan)

    model = CTGAN(**{**TINY, "max_epochs": 5}, epoch_callback=spoil)
    for kind in (RuntimeError, FloatingPointError):
        with pytest.raises(kind, match=r"in epoch 3; lower lr \(now 0.0005\) or critic_lr"):
            model.fit(frame)
    assert model.n_iter_ == 2
    assert all(torch.isfinite(p).all() for p in model.net_.critic_.parameters())
    assert len(model.sample(5)) == 5


def test_key_is_not_modelled_and_made_anew(frame):
    keyed = frame.assign(age=frame["age"])
    keyed.insert(2, "id", [f"P-{k:03d}" for k in range(300)])
    model = ACTGAN(**TINY, primary_key="id", discrete_columns=["id", "sex"]).fit(keyed)
    assert "id" not in model.encoder_.feature_names_in_
    rows = model.sample(12)
    assert list(rows) == list(keyed)
    assert rows["id"].tolist() == [f"P-{k:03d}" for k in range(12)]
    chunks = pd.concat(model.sample_iter(12, chunk_size=5))
    assert chunks["id"].is_unique
    assert np.isfinite(model.score(keyed))
    with pytest.raises(ValueError, match="Unexpected column name 'id'"):
        model.sample(1, conditions={"id": "P-000"})


def test_only_named_fields_are_modelled(frame):
    model = ACTGAN(
        **TINY, field_names=["sex", "age"], field_types={"age": "categorical", "ok": "boolean"}
    ).fit(frame)
    assert list(model.sample(3)) == ["age", "sex"]
    assert model.encoder_.column_kinds_ == {"age": "categorical", "sex": "categorical"}
    assert np.isfinite(model.score(frame))


def test_metadata_stands_for_parameters(frame):
    told = {"field_names": ["sex", "age"], "field_types": {"age": "categorical"}}
    model = ACTGAN(**TINY, table_metadata=told).fit(frame)
    same = ACTGAN(**TINY, **told).fit(frame)
    pd.testing.assert_frame_equal(model.sample(9), same.sample(9))


def test_forced_conditions_are_written_without_rejection(frame):
    model = ACTGAN(**TINY, force_conditioning=True).fit(frame)
    rows = model.sample(30, conditions={"age": 19, "sex": "m"})
    assert set(rows["age"]) == {19}
    assert set(rows["sex"]) == {"m"}
    report = model.sampling_report_
    assert (report.tries, report.drawn, report.accepted) == (1, 30, 30)


def test_identifiers_warn_and_propose_a_key(frame):
    keyed = frame.assign(name=[f"person {k}" for k in range(300)])
    with pytest.warns(UserWarning, match="Column 'name' holds another text.*primary_key"):
        ACTGAN(**TINY, field_names=["name", "age"]).fit(keyed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ACTGAN(**TINY, primary_key="name").fit(keyed)


def test_likely_ignored_noise_warns(frame):
    options = {**ANYWAY, "conditional_select_mean_columns": 6}
    with pytest.warns(UserWarning, match=r"with probability 0\.86; above 0\.5"):
        ACTGAN(**TINY, **options).fit(frame)


def test_kinds_of_conditions_equal_their_strings(frame):
    assert ConditionalVectorType.ANYWAY == "anyway"
    options = {**ANYWAY, "conditional_vector_type": ConditionalVectorType.ANYWAY}
    one = ACTGAN(**TINY, **options).fit(frame)
    pd.testing.assert_frame_equal(one.sample(5), ACTGAN(**TINY, **ANYWAY).fit(frame).sample(5))


ERRORS = [
    ({"batch_size": 55, "pac": 5}, "batch_size must be divisible by 2"),
    ({"batch_size": 50, "pac": 4}, "batch_size must be divisible by pac"),
    *(
        ({name: value}, f"'{name}' parameter of ACTGAN must be an int")
        for name in ("latent_dim", "batch_size", "pac", "n_critic")
        for value in (0, 1.5)
    ),
    ({"max_epochs": -1}, "'max_epochs' parameter of ACTGAN"),
    ({"generator_hidden": (0,)}, "generator_hidden must hold positive integers"),
    ({"critic_hidden": (1.5,)}, "critic_hidden must hold positive integers"),
    ({"betas": (0.5, 1.0)}, "betas must be two numbers"),
    ({"conditional_vector_type": "anyway"}, "exactly one of conditional_select_mean_columns"),
    ({**ANYWAY, "conditional_select_column_prob": 0.3}, "exactly one of conditional_select"),
    (
        {"conditional_vector_type": "anyway", "conditional_select_column_prob": 1.2},
        "'conditional_select_column_prob' parameter of ACTGAN",
    ),
    (
        {"conditional_vector_type": "anyway", "conditional_select_mean_columns": -1},
        "'conditional_select_mean_columns' parameter of ACTGAN",
    ),
    ({"epoch_callback": "print"}, "epoch_callback must be callable"),
    ({"conditional_vector_type": "some"}, r"(?s)'anyway'.*'single_discrete'|single_.*anyway"),
    ({"binary_encoder_nan_handler": "median"}, r"(?s)'binary_encoder_nan_handler'.*'mode'"),
    ({"binary_encoder_cutoff": 0}, "'binary_encoder_cutoff' parameter"),
    ({"max_fit_rows": -1}, "'max_fit_rows' parameter"),
    ({"reconstruction_weight": -0.1}, "'reconstruction_weight' parameter"),
    ({"discrete_columns": ["nothing"]}, r"Invalid columns found .*\['nothing'\]"),
    ({"field_names": ["nothing"]}, r"Invalid columns found in field_names: \['nothing'\]"),
    ({"primary_key": "nothing"}, "primary_key='nothing' is no column of X"),
    ({"table_metadata": {"primary_key": "age"}, "primary_key": "age"}, "primary_key and table_"),
    ({"table_metadata": {"key": "age"}}, r"unknown entries \['key'\]"),
    ({"anonymize_fields": {"age": "name"}}, "anonymize_fields accepts None only"),
    ({"random_state": "seed"}, "'random_state' parameter"),
    ({"early_stopping": True, "validation_fraction": None}, "validation_fraction is None"),
]


@pytest.mark.parametrize(("options", "message"), ERRORS)
def test_wrong_parameters_are_named(frame, options, message):
    error = NotImplementedError if "anonymize_fields" in options else ValueError
    with pytest.raises(error, match=message):
        ACTGAN(**{**TINY, **options}).fit(frame)


@pytest.mark.parametrize(
    ("table", "kind", "message"),
    [
        ("text", (TypeError, ValueError), "table|2D|dimension"),
        (np.zeros(5), ValueError, "2D|1D|two-dimensional"),
        (pd.DataFrame(np.zeros((4, 2)), columns=["a", "a"]), ValueError, "(?i)duplicate|twice"),
        (pd.DataFrame({"a": []}), ValueError, "row|sample"),
        (pd.DataFrame({"a": [1.0]}), ValueError, "row|sample"),
        (pd.DataFrame(index=range(5)), ValueError, "column|feature"),
        (pd.DataFrame({"a": [1j, 2.0]}), (TypeError, ValueError), "(?i)complex"),
        (pd.DataFrame({"a": [[1], [2]]}), TypeError, "'?a'?"),
        (pd.DataFrame({"a": [np.inf, 1.0]}), ValueError, "'?a'?.*inf|inf.*'?a'?"),
    ],
)
def test_wrong_tables_are_named(table, kind, message):
    with pytest.raises(kind, match=message):
        CTGAN(**TINY).fit(table)


@pytest.mark.parametrize("mode", MODES)
def test_wrong_requests_are_named(fitted, mode, tmp_path):
    model = fitted[mode]
    with pytest.raises(NotFittedError):
        type(model)().sample(1)
    with pytest.raises((ValueError, TypeError), match="n_samples"):
        model.sample(None)
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(-1)
    with pytest.raises(ValueError, match="Unexpected column name 'nothing'"):
        model.sample(1, conditions={"nothing": 1})
    with pytest.raises(ValueError, match="Unknown value 'x' for column 'sex'"):
        model.sample(1, conditions={"sex": "x"})
    with pytest.raises(ValueError, match="outside the range seen during fit"):
        model.sample(1, conditions={"age": 99})
    (tmp_path / "rows.csv").write_text("")
    with pytest.raises(FileExistsError, match=r"rows\.csv"):
        model.sample(1, output_file_path=tmp_path / "rows.csv")


@pytest.mark.slow
def test_same_seed_in_another_process_gives_the_same_rows():
    code = (
        "import pandas as pd, json, numpy as np\n"
        "from synth_estimators.tabular._ctgan import CTGAN\n"
        "rng = np.random.default_rng(0)\n"
        "X = pd.DataFrame({'a': rng.normal(size=90), 'b': rng.choice(['x', 'y'], 90)})\n"
        "model = CTGAN(8, generator_hidden=(16,), critic_hidden=(16,), max_epochs=2,\n"
        "              batch_size=60, random_state=0).fit(X)\n"
        "print(model.sample(20).to_json())\n"
    )
    printed = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert json.loads(printed[0].stdout) == json.loads(printed[1].stdout)


@pytest.mark.parametrize(
    ("preset", "pac", "expected"), [("reference", 10, 500), ("tuned", 10, 100), ("tuned", 7, 98)]
)
def test_batch_size_of_a_preset_fits_pac(preset, pac, expected):
    settings = {**TINY, "batch_size": None, "pac": pac, "preset": preset, "max_epochs": 1}
    model = CTGAN(**settings).fit(make_frame(600))
    assert model.net_.batch_size == expected
