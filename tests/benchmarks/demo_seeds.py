"""Is what is learned better than both k-means baselines on the mosaics of `unseg demo`, whatever their seed?

    python tests/benchmarks/demo_seeds.py [--seeds N]

Runs the demo with one seed after the other, and prints its verdict (accuracy / mIoU) and its seconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from unsegcli.params import Demo, Run
from unsegcli.stages.demo import SCORED, compared, demo, scores_in


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    for seed in range(parser.parse_args().seeds):
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            made = demo(Demo(seed=seed), Run(Path(folder) / "demo"))
            seconds = time.monotonic() - started
            verdict = compared({SCORED[name]: one for name, one in scores_in(made).items()})
            print(f"seed {seed}, {seconds:.0f} s: {verdict}", flush=True)


if __name__ == "__main__":
    main()
