"""
A mixed table, there and back
=============================

Dates, empty cells, amounts that are mostly zero, identifiers of aeroplanes by the hundred: what
becomes of them as numbers, and do they come back in the types they had?
"""

# %%
# Simulated flights. The delay has two clusters and a spike at zero, the fee is a multiple of 5, the
# tail number has hundreds of levels, and an air time is missing wherever a flight was cancelled.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
n_flights = 6_000
cancelled = rng.random(n_flights) < 0.03
late = rng.random(n_flights) < 0.3
delay = np.where(late, rng.normal(60, 20, n_flights), rng.normal(-5, 6, n_flights))
delay = np.maximum(delay, -25).round(1)
delay[rng.random(n_flights) < 0.15] = 0
kilometres = rng.choice([320, 870, 1_400, 3_900], size=n_flights, p=[0.4, 0.3, 0.2, 0.1])
minutes = kilometres / 13 + rng.normal(30, 6, n_flights)
flights = pd.DataFrame(
    {
        "departure": pd.Timestamp("2025-03-01 05:00")
        + pd.to_timedelta(rng.integers(0, 90 * 1440, n_flights), "min"),
        "tail": pd.Series([f"N{number:03d}" for number in rng.zipf(1.4, n_flights) % 900]),
        "kilometres": kilometres,
        "delay": delay,
        "air_time": pd.array(minutes.round(), dtype="Int64"),
        "fee": (rng.gamma(2, 20, n_flights) // 5 * 5).astype("float32"),
        "cabin": pd.Categorical(rng.choice(["economy", "business"], n_flights, p=[0.9, 0.1])),
        "cancelled": cancelled,
    }
)
flights.loc[cancelled, "air_time"] = pd.NA
flights.dtypes

# %%
# The encoder finds out what each column is and writes every row as one vector of float32.

from synth_estimators.preprocessing import TabularEncoder

encoder = TabularEncoder(binary_encoder_cutoff=200, random_state=0).fit(flights)
encoded = encoder.transform(flights)
pd.DataFrame(
    [
        (str(span.name), span.field, span.kind, span.stop - span.start)
        for span in encoder.layout_.spans
    ],
    columns=["column", "field", "kind", "width"],
)

# %%
# Back again nothing is lost but the last digits that float32 cannot hold, and rounding takes those
# away too: the same cells in the same types.

decoded = encoder.inverse_transform(encoded)
pd.testing.assert_frame_equal(decoded, flights)

# %%
# A column of numbers is a *mode* and a *place* in it: a mixture of Gaussians is fitted, every value
# is given to one of them by chance, and its distance from the mean in four standard deviations is
# the place. With two modes at most, the delay shows its two clusters and, as a mode of no width,
# the zero. The straight lines below are the modes: a place of 0 is the mean, the slope says the
# width.

import matplotlib.pyplot as plt
from scipy.stats import norm

small = TabularEncoder(max_clusters=2, random_state=0).fit(flights[["delay"]])
place, *modes = small.transform(flights[["delay"]]).T
delay = flights["delay"].to_numpy()
grid = np.linspace(delay.min(), delay.max(), 500)
figure, (above, below) = plt.subplots(2, sharex=True, figsize=(7, 5.5), layout="constrained")
above.hist(delay, bins=np.arange(-40, 140, 2), density=True, color="lightgrey", label="flights")
for number, chosen in enumerate(np.array(modes) > 0):
    name = f"mode {number}: {chosen.sum()} flights"
    if np.ptp(delay[chosen]) == 0:
        value = delay[chosen][0]
        (line,) = above.plot([value, value], [0, 0.05], lw=2, label=f"{name}, exactly {value:g}")
    else:
        width, centre = np.polyfit(place[chosen], delay[chosen], deg=1)
        density = chosen.mean() * norm.pdf(grid, loc=centre, scale=width / 4)
        (line,) = above.plot(grid, density, label=name)
    below.plot(delay[chosen], place[chosen], ".", ms=3, color=line.get_color())
above.set(ylabel="density", ylim=(0, 0.055))
above.legend(frameon=False)
below.set(xlabel="delay (minutes)", ylabel="place in the mode")

# %%
# The encoder stands before any generator of numbers: here a plain variational autoencoder. The
# generators of mixed tables have their own: ``TVAE`` uses this one, ``TabularAR`` learns classes
# and normal scores.

from synth_estimators import VAE, TabularAR, TransformedGenerator

generators = {
    "VAE behind the encoder": TransformedGenerator(
        VAE(max_epochs=10, random_state=0),
        transformer=TabularEncoder(binary_encoder_cutoff=200, random_state=0),
    ),
    "TabularAR": TabularAR(max_epochs=8, random_state=0),
}
tables = {"flights": flights}
for name, generator in generators.items():
    tables[name] = generator.fit(flights).sample(n_flights)
tables["TabularAR"].head()

# %%
# All of them have the types of the flights, and fees are rounded as they were. What a network must
# learn, the encoder cannot promise: the share of the spike, that of empty cells, and that air times
# are empty where flights are cancelled.

pd.DataFrame(
    {
        name: {
            "same types": (table.dtypes == flights.dtypes).all(),
            "fee a multiple of 5": (table["fee"] % 5 == 0).mean(),
            "delay is 0": (table["delay"] == 0).mean(),
            "air time empty": table["air_time"].isna().mean(),
            "... if cancelled": table.loc[table["cancelled"], "air_time"].isna().mean(),
            "aeroplanes": table["tail"].nunique(),
        }
        for name, table in tables.items()
    }
)

# %%
# The autoencoder takes one-hot columns for numbers like any others, and makes too few zeros. A
# network of conditional distributions has their share right from its start.
