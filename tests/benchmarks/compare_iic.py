"""Compare the displacement loss with values of the authors' own program, in float64.

    python tests/benchmarks/compare_iic.py FOLDER

FOLDER holds `inputs.npz` (a_x1, a_x2, a_mask, ...: (batch, clusters, height, width) and (batch, height, width)) and
`losses.csv` (case, half_window, lambda, uncollapsed, uncollapsed_lambda_1, collapsed, collapsed_lambda_1).
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import torch

from unsegcli.core.nn.information import displaced_information, displacement_joints

TOLERANCE = 1e-9


def main(folder: Path) -> int:
    arrays = np.load(folder / "inputs.npz", allow_pickle=False)
    with (folder / "losses.csv").open(encoding="utf-8") as file:
        worst = max(largest_difference(row, arrays) for row in csv.DictReader(file))
    print(f"largest difference {worst:.1e}: {'within' if worst <= TOLERANCE else 'BEYOND'} {TOLERANCE:.0e}")
    return 0 if worst <= TOLERANCE else 1


def largest_difference(row: dict[str, str], arrays: np.lib.npyio.NpzFile) -> float:
    first, second, mask = (torch.from_numpy(arrays[f"{row['case']}_{name}"]) for name in ("x1", "x2", "mask"))
    found = 0.0
    for by in ("convolution", "fft"):
        joints = displacement_joints(first, second, mask, int(row["half_window"]), by)
        for column in ("uncollapsed", "uncollapsed_lambda_1", "collapsed", "collapsed_lambda_1"):
            balance = 1.0 if column.endswith("lambda_1") else float(row["lambda"])
            ours = float(displaced_information(joints, balance, column.startswith("collapsed")))
            found = max(found, abs(ours - float(row[column])))
            print(f"{row['case']} {column} by {by}: {ours:.12f}, theirs {float(row[column]):.12f}")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(Path(sys.argv[1])))
