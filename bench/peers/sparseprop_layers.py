#!/usr/bin/python3
"""Single layers under masks of single weights: SparseProp beside ours, on the CPU, in turns.

    pip install torch scipy pybind11 sparseprop                  into a virtual environment; it builds C++
    PYTHON bench/peers/sparseprop_layers.py                      3x3 layers at 30, 10 and 4% density, 16 images
    PYTHON bench/peers/sparseprop_layers.py --json               also bench/results/DATE-cpu-sparseprop.json

SparseProp (arXiv 2302.04852) executes masks that never change inside PyTorch, on AVX2. It has two variants of a
convolution, vectorised over the batch or over the output's columns; the faster one counts, pass by pass. "Forward and
backward" gives the gradients of x, of the alive weights and of the bias. Ours are the same three passes of op_bench
--sparse; they pack and unpack the images within each. Either side's number is the best of three averages, of runs that
take turns with the same passes of its own dense convolution, as op_bench does: so no one finds its tensors in the cache.
PyTorch's dense channels_last convolution is there to compare.
"""
import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import time

from pytorch_train_step import ROOT, at_least_one, cpu_model, git_commit, stop

LAYERS = {"conv2d_3x3_256_16px": (256, 16), "conv2d_3x3_256_8px": (256, 8), "conv2d_3x3_256_32px": (256, 32),
          "conv2d_3x3_128_16px": (128, 16), "conv2d_3x3_128_8px": (128, 8), "conv2d_3x3_128_32px": (128, 32)}
IMAGES = 16


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default=os.path.join(ROOT, "build", "release", "bin", "op_bench"))
    parser.add_argument("--threads", type=at_least_one, default=2)
    parser.add_argument("--rounds", type=at_least_one, default=2, help="both sides in turns; the best counts")
    parser.add_argument("--densities", default="30,10,4", help="per cent")
    parser.add_argument("--layers", default=",".join(LAYERS), help="of op_bench --sparse")
    parser.add_argument("--seconds", type=float, default=0.1, help="per number and round")
    parser.add_argument("--json", nargs="?", const="", help="write the numbers (default name: bench/results/DATE-...)")
    return parser.parse_args()


REPETITIONS = 3


def best_average(run, between, seconds):
    """Milliseconds."""
    run()
    best = float("inf")
    for _ in range(REPETITIONS):
        spent, count = 0.0, 0
        while spent < seconds:
            between()
            start = time.perf_counter()
            run()
            spent += time.perf_counter() - start
            count += 1
        best = min(best, spent / count)
    return best * 1e3


def passes_of(convolution, x, dy):
    """Forward; forward and backward."""
    def forward():
        return convolution(x)

    def both():
        x.grad = None
        convolution.zero_grad(set_to_none=True)
        convolution(x).backward(dy)

    return forward, both


def peers(torch, sparse_conv2d, channels, pixels, density, seconds):
    """Of one layer: {"sparseprop": (forward, both), "torch_dense": ...}, milliseconds."""
    convolution = torch.nn.Conv2d(channels, channels, 3, padding=1)
    with torch.no_grad():
        scores = torch.rand_like(convolution.weight).flatten()
        alive = torch.zeros_like(scores)
        alive[scores.topk(round(density * scores.numel())).indices] = 1
        convolution.weight.mul_(alive.view_as(convolution.weight))
    x = torch.randn(IMAGES, channels, pixels, pixels, requires_grad=True)
    dy = torch.randn(IMAGES, channels, pixels, pixels)
    sparse = [passes_of(sparse_conv2d.from_dense(convolution, vectorizing_over_on=over_columns), x, dy)
              for over_columns in (False, True)]
    last = torch.channels_last
    dense = passes_of(convolution.to(memory_format=last), x.detach().contiguous(memory_format=last).requires_grad_(),
                      dy.contiguous(memory_format=last))
    best = [min(best_average(variant[i], dense[i], seconds) for variant in sparse) for i in range(2)]
    return {"sparseprop": best, "torch_dense": [best_average(run, lambda: None, seconds) for run in dense]}


def ours(args, layer, per_cent):
    """Milliseconds of op_bench --sparse: forward, forward and backward."""
    pattern = f"^weights_{layer}/.*/cell1x1/d{per_cent}/"
    command = [args.ours, "--sparse", f"--benchmark_filter={pattern}", "--benchmark_format=json",
               f"--benchmark_min_time={args.seconds}", f"--benchmark_repetitions={REPETITIONS}"]
    result = subprocess.run(command, capture_output=True, text=True,
                            env=dict(os.environ, OMP_NUM_THREADS=str(args.threads)))
    if result.returncode != 0:
        stop(f"{args.ours} ended with exit code {result.returncode}: {result.stderr.strip()}")
    passes = {}
    for row in json.loads(result.stdout)["benchmarks"]:
        if row["run_type"] == "iteration":
            name = re.search("/(forward|backward_[a-z]+)/", row["name"]).group(1)
            passes[name] = min(row["real_time"], passes.get(name, float("inf")))
    if len(passes) != 3:
        stop(f"op_bench --sparse has no layer {layer} at {per_cent}%")
    return [passes["forward"], sum(passes.values())]


def main():
    args = parse_arguments()
    try:
        import torch
        from sparseprop.modules import SparseConv2d
    except ImportError as error:
        stop(f"{error}; pip install torch scipy pybind11 sparseprop into a virtual environment, and use its Python")
    if not os.access(args.ours, os.X_OK):
        stop(f"{args.ours} is not there; build it (make), or name it with --ours")
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    print(f"{cpu_model()}, {args.threads} threads, {IMAGES} images, 3x3, PyTorch {torch.__version__}; milliseconds, "
          f"forward / forward and backward")
    print(f"{'layer':24}{'alive':>6}{'ours':>20}{'SparseProp':>20}{'PyTorch dense':>20}{'SparseProp/ours':>20}")
    points = []
    for layer in args.layers.split(","):
        for per_cent in map(int, args.densities.split(",")):
            best = {}
            for _ in range(args.rounds):
                numbers = peers(torch, SparseConv2d, *LAYERS[layer], per_cent / 100, args.seconds)
                numbers["ours"] = ours(args, layer, per_cent)
                for name, pair in numbers.items():
                    best[name] = [min(a, b) for a, b in zip(pair, best.get(name, pair))]
            ratios = [theirs / own for theirs, own in zip(best["sparseprop"], best["ours"])]
            points.append({"layer": layer, "density": per_cent / 100, **best, "sparseprop_over_ours": ratios})
            cells = [f"{best[n][0]:.2f} / {best[n][1]:.2f}" for n in ("ours", "sparseprop", "torch_dense")]
            print(f"{layer:24}{per_cent:5}%" + "".join(f"{c:>20}" for c in cells) +
                  f"{f'{ratios[0]:.1f} / {ratios[1]:.1f}':>20}", flush=True)
    if args.json is not None:
        date = datetime.date.today().isoformat()
        path = args.json or os.path.join(ROOT, "bench", "results", f"{date}-cpu-sparseprop.json")
        with open(path, "w") as file:
            json.dump({"date": date, "commit": git_commit(), "cpu": cpu_model(), "threads": args.threads,
                       "torch": torch.__version__, "sparseprop": "0.1.14", "images": IMAGES, "unit": "ms",
                       "points": points}, file, indent=2)
            file.write("\n")
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
