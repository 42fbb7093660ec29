"""Every entry of the reference file is looked at by some test."""

import json
from pathlib import Path

TESTS = Path(__file__).parents[1]
ENTRIES = json.loads((TESTS / "data" / "evaluation" / "expected.json").read_text())["entries"]


def test_every_metric_of_the_reference_file_has_a_test():
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in TESTS.rglob("test_reference_*.py")
        if path.name != Path(__file__).name
    )
    names = {entry["metric"] for entry in ENTRIES}
    assert len(ENTRIES) == 106
    # Measures of a peer that are not offered go by their names without that of the peer.
    short = {name: name.removeprefix("synthcity_") for name in names}
    unseen = [n for n in names if f'"{n}' not in text and f'"{short[n]}"' not in text]
    assert sorted(unseen) == []
