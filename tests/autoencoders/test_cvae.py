"""CVAE: labels, conditions, transfer of labels to rows, bad requests."""

import numpy as np
import pandas as pd
import pytest

from synth_estimators import CVAE, from_spec

QUICK = {"max_epochs": 3, "latent_dim": 2, "hidden": (8,), "random_state": 0}
CENTRES = {"a": -4.0, "b": 0.0, "c": 4.0}


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(["b", "a", "c"], [120, 60, 20]))
    X = rng.normal(size=(200, 5)) + np.array([CENTRES[label] for label in y])[:, None]
    return pd.DataFrame(X, columns=list("vwxyz")), y


@pytest.fixture(scope="module")
def fitted(labelled):
    return CVAE(latent_dim=2, max_epochs=30, random_state=0).fit(*labelled)


def test_labels_belong_to_their_rows(fitted):
    rows, labels = fitted.sample_labeled(1500)
    for label, centre in CENTRES.items():
        assert abs(rows[labels == label].to_numpy().mean() - centre) < 0.4


def test_classes_are_sorted_and_drawn_in_training_proportions(fitted):
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    _, labels = fitted.sample_labeled(4000)
    shares = pd.Series(labels).value_counts(normalize=True)
    # five standard errors of 4000 draws are 0.04
    np.testing.assert_allclose(shares[["a", "b", "c"]], [0.3, 0.6, 0.1], atol=0.04)


def test_asked_labels_are_given(fitted):
    y = np.array(["c"] * 40 + ["a"] * 60)
    rows = fitted.sample(100, y=y).to_numpy().mean(axis=1)
    assert abs(rows[:40].mean() - 4.0) < 0.6
    assert abs(rows[40:].mean() + 4.0) < 0.6


def test_stratified_single_class_stays_in_its_class(fitted):
    rows = fitted.sample(300, y="c", stratified=True)
    assert abs(rows.to_numpy().mean() - 4.0) < 0.6


@pytest.mark.parametrize("n_classes", [1, 2, 7])
def test_any_number_of_classes(n_classes):
    rng = np.random.default_rng(0)
    y = np.arange(84) % n_classes
    model = CVAE(**QUICK).fit(rng.normal(size=(84, 3)), y)
    assert set(model.sample_labeled(200)[1]) == set(range(n_classes))


def test_class_with_its_own_correlation_is_learned():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 400)
    z = rng.normal(size=800)
    sign = np.where(y == 0, 1.0, -1.0)
    X = np.column_stack([z, z, sign * z]) + 0.4 * rng.normal(size=(800, 3))
    model = CVAE(latent_dim=1, calibration=None, max_epochs=150, random_state=0).fit(X, y)
    correlation = [np.corrcoef(model.sample(1000, y=label).T)[0, 2] for label in (0, 1)]
    assert correlation[0] > 0.5
    assert correlation[1] < -0.5


def test_score_prefers_the_right_label(fitted, labelled):
    X, y = labelled
    wrong = np.roll(np.sort(y), 60)[np.argsort(np.argsort(y, kind="stable"), kind="stable")]
    assert fitted.score(X, y) > fitted.score(X, wrong) + 5
    assert fitted.score_samples(X).shape == (200,)


def test_marginal_density_mixes_the_classes(fitted, labelled):
    X, _ = labelled
    parts = [
        fitted.score_samples(X, y=np.repeat([label], len(X))) + np.log(share)
        for label, share in zip(fitted.classes_, fitted.class_prior_, strict=True)
    ]
    np.testing.assert_allclose(fitted.score_samples(X), np.logaddexp.reduce(parts), rtol=1e-9)


def test_conditions_move_the_rows():
    rng = np.random.default_rng(0)
    conditions = pd.DataFrame({"dose": rng.uniform(0, 10, 300), "sex": rng.choice(["F", "M"], 300)})
    shift = conditions["dose"] + 6.0 * (conditions["sex"] == "M")
    X = rng.normal(size=(300, 4)) + shift.to_numpy()[:, None]
    model = CVAE(latent_dim=2, max_epochs=30, random_state=0).fit(X, conditions=conditions)
    low = model.sample(500, conditions={"dose": 1.0, "sex": "F"}).mean()
    high = model.sample(500, conditions={"dose": 9.0, "sex": "M"}).mean()
    assert abs(low - 1.0) < 1.0
    assert abs(high - 15.0) < 1.0
    table = pd.DataFrame({"dose": [1.0, 9.0] * 250, "sex": ["F", "M"] * 250})
    rows = model.sample(500, conditions=table).mean(axis=1)
    assert abs(rows[::2].mean() - 1.0) < 1.0
    assert abs(rows[1::2].mean() - 15.0) < 1.0
    some = model.sample(500, conditions={"sex": "M"}).mean()
    assert abs(some - 11.0) < 1.2  # dose is drawn from the training rows, mean 5


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"age": 3}, "Unknown condition column 'age'; seen during fit: \\['dose', 'sex'\\]"),
        ({"sex": "X"}, "Unknown condition 'X' for column 'sex'; seen during fit: \\['F', 'M'\\]"),
        ({"dose": [1.0, 2.0]}, "conditions has 2 rows but 3 are wanted"),
        ({"dose": "high"}, "Condition column 'dose' is numeric"),
        ({"dose": np.nan}, "missing or infinite"),
    ],
)
def test_bad_conditions_are_named(conditions, message):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"dose": rng.uniform(size=40), "sex": ["F", "M"] * 20})
    model = CVAE(**QUICK).fit(rng.normal(size=(40, 3)), conditions=table)
    with pytest.raises(ValueError, match=message):
        model.sample(3, conditions=conditions)


def test_conditions_and_labels_together():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    table = pd.DataFrame({"dose": rng.uniform(size=60)})
    model = CVAE(**QUICK).fit(X, y, conditions=table)
    assert model.condition_names_ == ["dose"]
    assert model.sample(4, y=1, conditions={"dose": 0.5}).shape == (4, 3)
    assert model.transform(X, conditions=table).shape == (60, 2)
    with pytest.raises(ValueError, match="was fitted with conditions; pass conditions"):
        model.transform(X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (np.arange(10), "inconsistent numbers of samples: y has 10 labels but X has 200 rows"),
        (np.array(["a", None] * 100, dtype=object), "100 labels are missing"),
        (np.linspace(0, 1, 200), "y holds continuous values"),
    ],
)
def test_bad_labels_are_refused(y, message, labelled):
    with pytest.raises(ValueError, match=message):
        CVAE(**QUICK).fit(labelled[0], y)


def test_unknown_label_is_named(fitted):
    with pytest.raises(ValueError, match=r"Unknown label 'd' in y; seen during fit: \['a', 'b'"):
        fitted.sample(3, y="d")
    with pytest.raises(ValueError, match="Unknown label 'd' in class_counts"):
        fitted.sample_labeled(None, class_counts={"d": 3})
    with pytest.raises(ValueError, match="add up to 3 rows but n_samples=4"):
        fitted.sample_labeled(4, class_counts={"a": 3})


def test_transform_without_labels_takes_the_probable_class(fitted, labelled):
    X, y = labelled
    np.testing.assert_allclose(fitted.transform(X), fitted.transform(X, y=y), atol=0.5)
    rebuilt = fitted.reconstruct(X)
    assert np.corrcoef(rebuilt["v"], X["v"])[0, 1] > 0.9


def test_partial_fit_takes_classes_up_front(labelled):
    X, y = labelled
    model = CVAE(**QUICK)
    first = y != "c"
    model.partial_fit(X[first], y[first], classes=["a", "b", "c"])
    model.partial_fit(X, y)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.n_iter_ == 2
    fresh = CVAE(**QUICK).partial_fit(X[first], y[first])
    with pytest.raises(ValueError, match="Unknown label 'c'"):
        fresh.partial_fit(X, y)


def test_stream_of_labelled_chunks(labelled):
    X, y = labelled
    chunks = [(X.iloc[i : i + 50], y[i : i + 50]) for i in range(0, 200, 50)]
    model = CVAE(latent_dim=2, max_epochs=20, random_state=0).fit_stream(chunks)
    np.testing.assert_allclose(model.class_prior_, [0.3, 0.6, 0.1])
    rows, labels = model.sample_labeled(600)
    assert abs(rows[labels == "c"].to_numpy().mean() - 4.0) < 0.7


def test_wide_published_network():
    rng = np.random.default_rng(0)
    X, y = rng.gamma(3.0, size=(60, 8)), np.arange(60) % 3
    model = from_spec("CVAE1-20", wide=True, max_epochs=1, random_state=0).fit(X, y)
    assert model.net_.module_.encoder[0].weight.shape == (512, 8 + 3)
    assert model.net_.module_.decoder.stack[0].weight.shape == (64, 32 + 3)
    with pytest.raises(ValueError, match="wide=True belongs to CVAE"):
        from_spec("VAE1-10", wide=True)


def test_saved_weights_restore_labels_and_conditions(labelled, tmp_path):
    X, y = labelled
    table = pd.DataFrame({"dose": np.arange(200.0), "sex": ["F", "M"] * 100})
    model = CVAE(**QUICK).fit(X, y, conditions=table)
    model.save_weights(tmp_path / "model")
    restored = CVAE().load_weights(tmp_path / "model")
    expected = model.sample(9, y="a", conditions={"sex": "F"})
    pd.testing.assert_frame_equal(restored.sample(9, y="a", conditions={"sex": "F"}), expected)


def test_stratified_tables_have_exact_class_shares(fitted):
    _, labels = fitted.sample_labeled(200, stratified=True)
    assert pd.Series(labels).value_counts().to_dict() == {"b": 120, "a": 60, "c": 20}
    assert labels.tolist() != sorted(labels)


def test_chunks_follow_labels_and_conditions():
    rng = np.random.default_rng(0)
    y, dose = np.arange(120) % 2, rng.uniform(0, 10, 120)
    X = rng.normal(size=(120, 3)) + (20.0 * y + dose)[:, None]
    model = CVAE(latent_dim=2, max_epochs=20, random_state=0).fit(X, y, conditions={"dose": dose})
    wanted = np.repeat([0, 1], [150, 150])
    table = pd.DataFrame({"dose": np.tile([1.0, 9.0], 150)})
    chunks = list(model.sample_iter(300, y=wanted, conditions=table, chunk_size=70))
    assert [len(chunk) for chunk in chunks] == [70, 70, 70, 70, 20]
    means = np.concatenate(chunks).mean(axis=1)
    expected = 20.0 * wanted + table["dose"].to_numpy()
    assert np.abs(means - expected).mean() < 2.0
    with pytest.raises(ValueError, match="2 labels or conditions were given but n_samples=3"):
        model.sample_iter(3, y=[0, 1])
