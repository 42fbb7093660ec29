"""Quality of generators of expression tables, on held-out rows, beside baselines and the limit.

Tables: SKCMPositive_4 (452 x 298 miRNA counts) and BRCASubtypeSel_train (881 x 47, two classes), in
three splits by patient, half of the rows held out. Every generator sees the training half alone
and is asked for as many rows as the other half has; every number compares its rows with the
held-out half, on the log2 scale. TSTR is the mean over five sampled tables. Rows named
"stratified" are whole-table draws, the others independent; the two are not comparable.

    SYNTH_ESTIMATORS_DATA=... python benchmarks/quality_expression.py [--splits 3]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import platform
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from synth_estimators import (
    AE,
    CVAE,
    VAE,
    BootstrapRows,
    CalibratedGaussian,
    ClassConditionalGenerator,
    GaussianCopula,
    IndependentColumns,
    Log2Transformer,
    from_spec,
    make_synthesis_pipeline,
)
from synth_estimators import metrics as m

RESULTS = Path(__file__).parent / "results"
SEED = 0
N_TABLES = 5


def patients(index):
    """First three fields of a barcode: one patient may have given several samples."""
    return np.array([".".join(str(label).split(".")[:3]) for label in index])


def halves(index, seed):
    """Split rows in two halves, all rows of a patient on one side."""
    groups = patients(index)
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    train = np.isin(groups, names[: len(names) // 2])
    return np.flatnonzero(train), np.flatnonzero(~train)


def log2_pipeline(generator):
    return make_synthesis_pipeline(Log2Transformer(round_counts=True), generator)


def skcm_generators(seed):
    return {
        "IndependentColumns": (log2_pipeline(IndependentColumns(random_state=seed)), {}),
        "GaussianCopula": (log2_pipeline(GaussianCopula(random_state=seed)), {}),
        "BootstrapRows (copier)": (log2_pipeline(BootstrapRows(random_state=seed)), {}),
        "VAE1-10 as published": (
            log2_pipeline(from_spec("VAE1-10", random_state=seed)),
            {},
        ),
        "AE": (log2_pipeline(AE(random_state=seed)), {}),
        "CalibratedGaussian": (log2_pipeline(CalibratedGaussian(random_state=seed)), {}),
        "VAE": (log2_pipeline(VAE(random_state=seed)), {}),
        "CalibratedGaussian, stratified": (
            log2_pipeline(CalibratedGaussian(random_state=seed)),
            {"stratified": True},
        ),
        "VAE, stratified": (log2_pipeline(VAE(random_state=seed)), {"stratified": True}),
    }


def brca_generators(seed):
    def per_class(generator):
        return log2_pipeline(ClassConditionalGenerator(generator, random_state=seed))

    return {
        "IndependentColumns a class": (per_class(IndependentColumns()), {}),
        "GaussianCopula a class": (per_class(GaussianCopula()), {}),
        "BootstrapRows a class (copier)": (per_class(BootstrapRows()), {}),
        "CVAE1-20 as published": (
            log2_pipeline(from_spec("CVAE1-20", random_state=seed)),
            {},
        ),
        "CalibratedGaussian": (log2_pipeline(CalibratedGaussian(random_state=seed)), {}),
        "CVAE": (log2_pipeline(CVAE(random_state=seed)), {}),
        "VAE a class": (per_class(VAE()), {}),
        "CalibratedGaussian, stratified": (
            log2_pipeline(CalibratedGaussian(random_state=seed)),
            {"stratified": True},
        ),
        "CVAE, stratified": (log2_pipeline(CVAE(random_state=seed)), {"stratified": True}),
        "VAE a class, stratified": (per_class(VAE()), {"stratified": True}),
    }


def log2(rows):
    return np.log2(rows.astype(float) + 1.0)


def judge(train, holdout, rows):
    """Numbers of one synthetic table, all counts; ``rows`` are compared on the log2 scale."""
    T, H, S = log2(train), log2(holdout), log2(rows)
    manifold = m.prdc(H, S, breakdown=True, random_state=SEED)
    alpha = m.alpha_precision_beta_recall(H, S, breakdown=True, random_state=SEED)
    spread = S.std() / T.std().replace(0, np.nan)
    return {
        "mean_ks": 1.0 - m.column_shapes_score(H, S),
        "corr_mae": m.correlation_distance(H, S),
        "c2st_xgb": m.c2st_auc(H, S, estimator="xgb", random_state=SEED),
        "pca50_c2st_xgb": m.pca_c2st_auc(H, S, X_train=T, estimator="xgb", random_state=SEED),
        "alpha_precision": alpha.alpha_precision,
        "beta_recall": alpha.beta_recall,
        "coverage": manifold.coverage,
        "dcr_share": m.dcr_share(
            X_train=T, X_holdout=H, X_synth=S, space="standard", random_state=SEED
        ),
        "membership_auc": m.membership_auc(
            X_train=T, X_holdout=H, X_synth=S, space="standard", random_state=SEED
        ),
        "exact_copies": m.exact_copy_share(X_train=train, X_synth=rows),
        "sd_ratio": float(np.nanmedian(spread)),
        "dead_columns": int(((S.std() == 0) & (T.std() > 0)).sum()),
    }


def utility(train, labels, holdout, holdout_labels, rows, row_labels):
    """AUC on held-out rows of models trained on synthetic and on real rows."""

    def table(X, y):
        return log2(X).assign(label=np.asarray(y)).reset_index(drop=True)

    out = {}
    test, real, synth = (
        table(holdout, holdout_labels),
        table(train, labels),
        table(rows, row_labels),
    )
    for name in ("xgb", "logistic"):
        out[f"tstr_{name}"] = m.tstr_score(
            test, synth, target="label", estimator=name, random_state=SEED
        )
        out[f"trtr_{name}"] = m.trtr_score(
            test, real, target="label", estimator=name, random_state=SEED
        )
    return out


def run(table, groups, make_generators, split, rows_out):
    train_idx, holdout_idx = halves(table.index, split)
    train = table.iloc[train_idx].reset_index(drop=True)
    holdout = table.iloc[holdout_idx].reset_index(drop=True)
    y = y_holdout = None
    if groups is not None:
        y, y_holdout = groups[train_idx], groups[holdout_idx]
    everyone = {"real training rows (limit)": (None, {}), **make_generators(split)}
    for name, (generator, request) in everyone.items():
        start = time.process_time()
        if generator is None:
            rows, labels = train, y
        elif y is None:
            generator.fit(train)
            rows = generator.sample(len(holdout), random_state=split, **request)
        else:
            generator.fit(train, y)
            rows, labels = generator.sample_labeled(len(holdout), random_state=split, **request)
        seconds = time.process_time() - start
        record = {"generator": name, "split": split, **judge(train, holdout, rows)}
        if y is not None:
            # one table decides a TSTR by luck; the mean over several is what the generator is worth
            tables = [utility(train, y, holdout, y_holdout, rows, labels)]
            for draw in range(1, N_TABLES if generator is not None else 1):
                again = generator.sample_labeled(
                    len(holdout), random_state=1_000 * draw + split, **request
                )
                tables.append(utility(train, y, holdout, y_holdout, *again))
            record |= pd.DataFrame(tables).mean().to_dict()
        record["fit_sample_cpu_s"] = seconds
        rows_out.append(record)
        print(
            f"{name:34s} split {split}  KS {record['mean_ks']:.3f}  corr {record['corr_mae']:.3f}  "
            f"C2ST {record['c2st_xgb']:.3f}  PCA {record['pca50_c2st_xgb']:.3f}  "
            f"beta {record['beta_recall']:.3f}  cov {record['coverage']:.3f}  "
            f"DCR {record['dcr_share']:.3f}  memb {record['membership_auc']:.3f}  {seconds:.1f}s"
            + (
                f"  TSTR {record['tstr_xgb']:.3f}/{record['trtr_xgb']:.3f} "
                f"{record['tstr_logistic']:.3f}/{record['trtr_logistic']:.3f}"
                if y is not None
                else ""
            ),
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--first-split", type=int, default=0)
    parser.add_argument("--output", default=str(RESULTS / "quality_expression.csv"))
    arguments = parser.parse_args()
    folder = os.environ.get("SYNTH_ESTIMATORS_DATA")
    if not folder:
        sys.exit("Set SYNTH_ESTIMATORS_DATA to the folder that holds syng_bts/ with the tables.")
    warnings.simplefilter("ignore")
    data = Path(folder) / "syng_bts"
    tables = {
        "SKCMPositive_4": (pd.read_parquet(data / "SKCMPositive_4.parquet"), None, skcm_generators),
        "BRCASubtypeSel_train": (
            pd.read_parquet(data / "BRCASubtypeSel_train.parquet"),
            pd.read_parquet(data / "BRCASubtypeSel_train_groups.parquet")["groups"].to_numpy(str),
            brca_generators,
        ),
    }
    frames = []
    for title, (table, groups, make_generators) in tables.items():
        records = []
        print(f"--- {title} {table.shape}")
        for split in range(arguments.first_split, arguments.first_split + arguments.splits):
            run(table, groups, make_generators, split, records)
        frames.append(pd.DataFrame(records).assign(table=title))
    result = pd.concat(frames, ignore_index=True)
    result["python"], result["numpy"] = platform.python_version(), np.__version__
    Path(arguments.output).parent.mkdir(exist_ok=True)
    result.to_csv(arguments.output, index=False, float_format="%.5f")
    numbers = result.select_dtypes("number").columns.drop("split")
    summary = result.groupby(["table", "generator"], sort=False)[list(numbers)].mean()
    print(summary.round(3).to_string())
    print(f"raw numbers in {arguments.output}")


if __name__ == "__main__":
    main()
