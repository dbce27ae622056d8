#!/usr/bin/python3
"""Inception-v3 features in PyTorch beside ours, on the CPU, in turns so that both see the same machine.

    /usr/bin/python3 bench/peers/pytorch_inception.py --weights FILE           5 rounds of 16 images
    /usr/bin/python3 bench/peers/pytorch_inception.py --weights FILE --json    also bench/results/DATE-cpu-inception.json

Enlargement from 32x32 to 299x299 and the network with batch norm folded, the same weights and batches on both sides.
Three processes take turns, one computing at a time: ours (inception_bench --serve), PyTorch in its contiguous format and
in channels_last; the better of the two counts. Beside the time on the clock stands the processor time of all threads, which
a busy machine distorts less; waiting threads sleep on both sides (OMP_WAIT_POLICY=passive).
"""
import argparse
import datetime
import json
import os
import statistics
import sys
import time

from pytorch_train_step import FORMATS, ROOT, Server, at_least_one, cpu_model, git_commit, peak_mib

sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
import safetensors_file  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="safetensors file of Inception-v3, batch norm folded")
    parser.add_argument("--ours", default=os.path.join(ROOT, "build", "release", "bin", "inception_bench"))
    parser.add_argument("--threads", type=at_least_one, default=2)
    parser.add_argument("--images", type=at_least_one, default=16)
    parser.add_argument("--batch", type=at_least_one, default=16)
    parser.add_argument("--rounds", type=at_least_one, default=5)
    parser.add_argument("--json", nargs="?", const="", help="write the numbers (default name: bench/results/DATE-...)")
    parser.add_argument("--serve", choices=FORMATS, help="be the PyTorch side: obey commands on standard input")
    return parser.parse_args()


def serve(args):
    import torch
    from inception_pytorch import Inception, resize
    torch.set_num_threads(args.threads)
    memory_format = torch.channels_last if args.serve == "channels_last" else torch.contiguous_format
    weights = {name: torch.from_numpy(array.copy()) for name, array in safetensors_file.read(args.weights).items()}
    network = Inception(weights, memory_format=memory_format)
    pixels = torch.randint(0, 256, (args.images, 3, 32, 32), dtype=torch.uint8)
    for line in sys.stdin:
        if line.strip() == "run":
            start = time.perf_counter()
            with torch.inference_mode():
                for batch in pixels.split(args.batch):
                    network(resize(batch).contiguous(memory_format=memory_format))
            print(f"{(time.perf_counter() - start) * 1e3:.3f}", flush=True)
        else:
            print(f"{peak_mib():.1f}", flush=True)
            if line.strip() == "quit":
                return


def cpu_ms(process):
    """Processor time of all threads of a process so far."""
    with open(f"/proc/{process.pid}/stat") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) * 1e3 / os.sysconf("SC_CLK_TCK")


def main():
    args = parse_arguments()
    if args.serve:
        return serve(args)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    flags = ["--weights", args.weights, f"--images={args.images}", f"--batch={args.batch}", f"--threads={args.threads}"]
    servers = [Server("ours", [args.ours, "--serve"] + flags, args.threads)]
    servers += [Server("torch " + f, [sys.executable, os.path.abspath(__file__), "--serve", f] + flags, args.threads)
                for f in FORMATS]
    print(f"{cpu_model()}, {args.threads} threads, {args.images} images in batches of {args.batch}, load average "
          f"{os.getloadavg()[0]:.1f}")
    results = {s.name: {"wall_ms": [], "cpu_ms": []} for s in servers}  # per image
    for i in range(-1, args.rounds):
        for server in servers:
            before = cpu_ms(server.process)
            wall = float(server.ask("run")) / args.images
            if i >= 0:
                results[server.name]["wall_ms"].append(wall)
                results[server.name]["cpu_ms"].append((cpu_ms(server.process) - before) / args.images)
        if i >= 0:
            print(f"round {i + 1}: " + ", ".join(f"{name} {r['wall_ms'][-1]:.1f} ms, cpu {r['cpu_ms'][-1]:.1f}"
                                                 for name, r in results.items()), flush=True)
    print("\nper image")
    for server in servers:
        r = results[server.name]
        r["peak_mib"] = float(server.ask("quit"))
        print(f"{server.name:22}{statistics.median(r['wall_ms']):9.1f} ms wall (min {min(r['wall_ms']):.1f})"
              f"{statistics.median(r['cpu_ms']):9.1f} ms cpu (min {min(r['cpu_ms']):.1f}){r['peak_mib']:9.0f} MiB")
    ratios = {}
    for key in ("wall_ms", "cpu_ms"):
        for kind, of in (("median", statistics.median), ("min", min)):
            ratios[f"ours_over_torch_{key[:-3]}_{kind}"] = of(results["ours"][key]) / min(
                of(r[key]) for name, r in results.items() if name != "ours")
    print("ours / PyTorch's best: " + ", ".join(f"{name[16:].replace('_', ' ')} {x:.2f}" for name, x in ratios.items()))
    if args.json is not None:
        date = datetime.date.today().isoformat()
        path = args.json or os.path.join(ROOT, "bench", "results", f"{date}-cpu-inception.json")
        with open(path, "w") as file:
            json.dump({"date": date, "commit": git_commit(), "cpu": cpu_model(), "load_average": os.getloadavg(),
                       "threads": args.threads, "images": args.images, "batch": args.batch,
                       **ratios, "results": results}, file, indent=2)
            file.write("\n")
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
