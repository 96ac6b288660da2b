"""Peak memory of training, epoch by epoch: does it stay where it was?

`python benchmarks/training_memory.py [--data FILE] [--epochs 30]` trains a causal transformer with the full softmax on
data of 6,040 users and 3,416 items (FILE has lines `user item`; without it data of that shape is generated) and prints
resident and peak memory after each epoch, the last peak as a ratio to the third's. `--small` is a quick look. Needs
the plugins `transformers` and `losses`.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

from benchbase_losses import benchbase_objectives
from benchbase_transformers import benchbase_backbones
from shapes import experiment, ml_1m

from benchbase.memory import peak_memory
from benchbase.train import Progress, fit

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    for name, default in {"epochs": 30, "threads": 2, "width": 64, "window": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true", help="200 users, 300 items")
    args = parser.parse_args()
    specs = {spec.name: spec for spec in (*benchbase_backbones(), *benchbase_objectives())}
    made = experiment(ml_1m(args.data, args.small), (specs["sasrec"], {"width": args.width}), specs["softmax"],
                      args.window, epochs=args.epochs, threads=args.threads)
    peaks: list[float] = []

    def report(progress: Progress) -> None:
        peaks.append(peak_memory() / MIB)
        print(f"epoch {progress.epoch:3}  resident {resident():6.0f} MiB  peak {peaks[-1]:6.0f} MiB  "
              f"{progress.seconds:7.1f} s", flush=True)

    fitted = fit(made, report=report)
    early = peaks[min(2, len(peaks) - 1)]
    print(f"peak of training {fitted.peak_memory / MIB:.0f} MiB (limit 1,500 MB = 1,431 MiB); "
          f"last epoch / third {peaks[-1] / early:.3f}")


def resident() -> float:
    """What the process holds now, MiB; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB if statm.exists() else 0.0


if __name__ == "__main__":
    main()
