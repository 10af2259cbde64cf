"""Coverage of split-conformal intervals over random splits, beside theory: python benchmarks/conformal.py

Studies are drawn whose error grows with their volume, and whose spread knows about that only roughly; a tenth is
healthy. Each split calibrates on some of one pool and tests on the rest. Whatever the studies are, the share of m test
studies that n calibration studies cover follows a beta-binomial distribution: mean k / (n + 1), k = ⌈(n + 1)(1 − α)⌉,
and as standard deviation that of Beta(k, n + 1 − k) with what m test studies add (Angelopoulos and Bates 2023,
doi:10.1561/2200000101, section 3.2).
"""

import argparse
import platform
import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sliceweave.pipelines.conformal import calibrate, interval_ml, quantile_rank

Studies = NDArray[np.float64]
COVERAGES = (0.8, 0.9, 0.95)


def draw(studies: int, rng: np.random.Generator) -> Studies:
    """(3, studies): measured volume, reference and spread, in ml."""
    references = rng.lognormal(2.5, 1.2, studies) * (rng.random(studies) > 0.1)
    spreads = 0.05 * references * rng.lognormal(0, 0.5, studies)
    volumes = np.maximum(references + rng.normal(0, 1, studies) * (0.1 * references + 0.3), 0)
    return np.stack([volumes, references, spreads])


def covered(calibration: Studies, test: Studies, coverage: float) -> tuple[float, float]:
    """Share of the test studies within their intervals, and the intervals' median width in ml."""
    score = calibrate(*calibration, coverage=coverage)
    if score is None:
        raise SystemExit("too few calibration studies for an interval")
    volumes, references, spreads = test
    low, high = interval_ml(volumes, spreads, score)
    return float(np.mean((low <= references) & (references <= high))), float(np.median(high - low))


def row(pool: Studies, coverage: float, options: argparse.Namespace) -> dict[str, float]:
    rng, n, m = np.random.default_rng(options.seed + 1), options.calibration, options.test
    shuffled = (pool[:, rng.permutation(n + m)] for _ in range(options.splits))
    found = np.array([covered(studies[:, :n], studies[:, n:], coverage) for studies in shuffled])
    rank = quantile_rank(n, coverage)
    theory = stats.betabinom(m, rank, n + 1 - rank)
    return {
        "nominal": coverage,
        "coverage": found[:, 0].mean(),
        "sd": found[:, 0].std(),
        "lowest": found[:, 0].min(),
        "theory": rank / (n + 1),
        "theory sd": theory.std() / m,
        "beta sd": stats.beta(rank, n + 1 - rank).std(),
        "width ml": found[:, 1].mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--calibration", type=int, default=200, help="studies")
    parser.add_argument("--test", type=int, default=1800, help="studies")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    pool = draw(options.calibration + options.test, np.random.default_rng(options.seed))
    table = pd.DataFrame([row(pool, coverage, options) for coverage in COVERAGES])
    print(f"{options.splits} splits: {options.calibration} calibrate, {options.test} test")
    print(table.to_string(index=False, float_format="{:.4f}".format))
    print(f"{time.perf_counter() - start:.1f} s on {platform.machine()}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
