#!/usr/bin/python3
"""The training iteration of SNGAN-32 in PyTorch beside ours, on the CPU, interleaved so that both see the same machine.

    /usr/bin/python3 bench/peers/pytorch_train_step.py                 5 rounds at full width (0.444 TFLOP)
    /usr/bin/python3 bench/peers/pytorch_train_step.py --json          also bench/results/DATE-cpu-sngan32-pytorch.json
    /usr/bin/python3 bench/peers/pytorch_train_step.py --density 0.1   the same under masks of single weights
    .. --forms eager-fp32,eager-bf16 --formats channels_last           some of PyTorch's forms only

Processes wait on a pipe, and one at a time computes: ours (train_step_bench --serve) and PyTorch in four forms, eager or
compiled (torch.compile), in fp32 or under bf16 autocast, each in its contiguous format and in channels_last. The best
of a precision is PyTorch's number. Compiled forms compile in the warm-ups; each process reports its own peak memory,
before any profiling. Both sides have the networks, the batches, the optimiser and the moving average of
sngan32_pytorch.py; tests/golden shows that they compute the same numbers.

Under masks, PyTorch multiplies weights by masks after each step of Adam, as the published methods do it, and ours trains
under static masks, layer densities by ERK, with --execution auto.
"""
import argparse
import datetime
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FORMS = ("eager-fp32", "eager-bf16", "compiled-fp32", "compiled-bf16")
FORMATS = ("contiguous", "channels_last")
PRECISIONS = ("fp32", "bf16")


def stop(message):
    print(f"pytorch_train_step: error: {message}", file=sys.stderr)
    sys.exit(3)


def at_least_one(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1 but got {text}")
    return int(text)


def some_of(choices):
    def parse(text):
        chosen = text.split(",")
        if not set(chosen) <= set(choices):
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(choices)} but got {text}")
        return chosen
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default=os.path.join(ROOT, "build", "release", "bin", "train_step_bench"))
    parser.add_argument("--threads", type=at_least_one, default=2)
    parser.add_argument("--rounds", type=at_least_one, default=5)
    parser.add_argument("--warm-ups", type=int, default=2)
    parser.add_argument("--json", nargs="?", const="", help="write the numbers (default name: bench/results/DATE-...)")
    parser.add_argument("--density", type=float, default=1.0, help="share of weights alive in G and D (default: all)")
    parser.add_argument("--forms", type=some_of(FORMS), default=list(FORMS), help="of PyTorch (default: all)")
    parser.add_argument("--formats", type=some_of(FORMATS), default=list(FORMATS), help="of its memory (default: both)")
    parser.add_argument("--precisions", type=some_of(PRECISIONS), default=["fp32"], help="of ours (default: fp32)")
    parser.add_argument("--serve", metavar="FORM-FORMAT", help="be a PyTorch side: obey commands on standard input")
    for name, value in (("width-g", 256), ("width-d", 128), ("latent-size", 128), ("batch-size-d", 8),
                        ("batch-size-g", 16), ("n-critic", 5)):
        parser.add_argument("--" + name, type=at_least_one, default=value)
    return parser.parse_args()


def peak_mib():
    """Of this process image alone: getrusage's number also remembers the process that started this one."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def iteration_flops(args):
    """Textbook cost of one iteration: a multiply-add is 2, padding counted, a backward pass is two forward passes.

    A D step runs G forward and D forward and backward on real and fake; the G step runs G forward and backward and D
    forward and backward to its input only.
    """
    width_g, width_d, batch_size_g = args.width_g, args.width_d, args.batch_size_g
    g = args.latent_size * 16 * width_g + 3 * 9 * width_g * 1024
    g += sum(width_g * width_g * (9 + 9 + 1) * side * side for side in (8, 16, 32))
    d = 3 * width_d * (9 * 1024 + 256) + 9 * width_d * width_d * 1024  # block1
    d += width_d * width_d * (9 + 9 + 1) * 256 + 4 * 9 * width_d * width_d * 64 + width_d
    images = args.n_critic * args.batch_size_d
    return 2.0 * (g * (images + 3 * batch_size_g) + d * (6 * images + 2 * batch_size_g))


class TorchSide:
    """One PyTorch process: the iteration, timed."""

    def __init__(self, args):
        import torch
        from sngan32_pytorch import Discriminator, Generator, Trainer
        self.torch, self.args = torch, args
        torch.set_num_threads(args.threads)
        torch.manual_seed(1)
        mode, precision, memory_format = args.serve.split("-")
        self.format = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
        self.is_bf16 = precision == "bf16"
        g = Generator(args.width_g, args.latent_size, self.format).to(memory_format=self.format)
        d = Discriminator(args.width_d).to(memory_format=self.format)
        if mode == "compiled":
            g, d = torch.compile(g), torch.compile(d)
        self.trainer = Trainer(g, d)
        if args.density < 1:
            self.mask(self.trainer.g, self.trainer.opt_g)
            self.mask(self.trainer.d, self.trainer.opt_d)
        self.pictures = torch.randint(0, 256, (args.n_critic, args.batch_size_d, 3, 32, 32), dtype=torch.uint8)

    def mask(self, network, optimizer):
        """Weights of dead connections are zero now and after every step."""
        torch = self.torch
        masked = [(p, (torch.rand_like(p) < self.args.density).to(p.dtype)) for p in network.parameters() if p.dim() > 1]

        def apply(*_):
            with torch.no_grad():
                torch._foreach_mul_([p for p, _ in masked], [mask for _, mask in masked])

        apply()
        optimizer.register_step_post_hook(apply)

    def iterate(self):
        with self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.is_bf16):
            return self.iterate_as_told()

    def iterate_as_told(self):
        torch, args = self.torch, self.args
        for pictures in self.pictures:
            real = (pictures.float() / 127.5 - 1).contiguous(memory_format=self.format)
            loss_d = self.trainer.d_step(real, torch.randn(args.batch_size_d, args.latent_size))[0]
        loss_g = self.trainer.g_step(torch.randn(args.batch_size_g, args.latent_size))
        return float(loss_d), float(loss_g)

    def run(self):
        start = time.perf_counter()
        self.iterate()
        return f"{(time.perf_counter() - start) * 1e3:.3f}"

    def profile(self):
        """Share of the time inside operators, by operator. PyTorch's profiler slows it by a few per cent."""
        with self.torch.autograd.profiler.profile() as profiler:
            self.iterate()
        events = profiler.key_averages()
        total = sum(e.self_cpu_time_total for e in events)
        shares = {e.key: e.self_cpu_time_total / total for e in events}
        convolutions = sum(share for key, share in shares.items() if "conv" in key.lower())
        top = dict(sorted(shares.items(), key=lambda item: -item[1])[:16])
        return json.dumps({"ms": total / 1e3, "convolution_share": convolutions, "shares": top})

    def info(self):
        found = re.search(r"MKL-DNN v([\d.]+)", self.torch.__config__.show())
        return json.dumps({"torch": self.torch.__version__, "threads": self.torch.get_num_threads(),
                           "onednn": found.group(1) if found else "none"})

    def serve(self):
        for line in sys.stdin:
            command = line.strip()
            if command in ("memory", "quit"):
                print(f"{peak_mib():.1f}", flush=True)
                if command == "quit":
                    return
            else:
                print({"run": self.run, "profile": self.profile, "info": self.info}[command](), flush=True)


class Server:
    """A process that obeys one-line commands with one-line answers."""

    def __init__(self, name, command, threads):
        self.name, self.ms = name, []
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)

    def ask(self, command):
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            stop(f"{self.name} ended with exit code {self.process.wait()} at the command \"{command}\"")
        return answer.strip()

    def summary(self):
        return {"ms": self.ms, "median_ms": statistics.median(self.ms), "min_ms": min(self.ms),
                "peak_mib": float(self.ask("memory")), "info": json.loads(self.ask("info")),
                "profile": json.loads(self.ask("profile"))}


def start_servers(args):
    flags = [f"--{name}={getattr(args, name.replace('-', '_'))}"
             for name in ("width-g", "width-d", "latent-size", "batch-size-d", "batch-size-g", "n-critic", "threads")]
    if args.density < 1:
        flags.append(f"--density={args.density}")
    servers = []
    for precision in args.precisions:
        command = [args.ours, "--serve", "--device", "cpu", "--precision", precision] + flags
        servers.append(Server(f"ours {precision}", command, args.threads))
    for form in args.forms:
        for memory_format in args.formats:
            command = [sys.executable, os.path.abspath(__file__), "--serve", f"{form}-{memory_format}"] + flags
            servers.append(Server(f"torch {form} {memory_format}", command, args.threads))
    return servers


def cpu_model():
    with open("/proc/cpuinfo") as file:
        return next((line.split(": ", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")


def git_commit():
    environment = dict(os.environ, GIT_OPTIONAL_LOCKS="0")
    result = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True,
                            env=environment)
    return result.stdout.strip() or "unknown"


def report(results, gflop):
    """The table, and the ratios of PyTorch's best of each precision to ours in each."""
    print(f"\n{'':34}{'median ms':>11}{'min ms':>9}{'GFLOP/s':>9}{'peak MiB':>10}{'convolutions':>14}")
    for name, r in results.items():
        print(f"{name:34}{r['median_ms']:11.1f}{r['min_ms']:9.1f}{gflop / r['median_ms'] * 1e3:9.1f}"
              f"{r['peak_mib']:10.0f}{r['profile']['convolution_share']:14.1%}")
    print()
    ratios = []
    for precision in PRECISIONS:
        peers = {name: r for name, r in results.items() if f"-{precision} " in name}
        if not peers:
            continue
        best = min(peers, key=lambda name: peers[name]["median_ms"])
        for name in [name for name in results if name.startswith("ours")]:
            ours = results[name]
            ratio = {"peer": best, "ours": name,
                     "torch_over_ours_median": peers[best]["median_ms"] / ours["median_ms"],
                     "torch_over_ours_min": min(r["min_ms"] for r in peers.values()) / ours["min_ms"],
                     "memory_ratio": ours["peak_mib"] / min(r["peak_mib"] for r in peers.values())}
            print(f"{best} / {name}: {ratio['torch_over_ours_median']:.2f} by median, "
                  f"{ratio['torch_over_ours_min']:.2f} by minimum; our peak memory is {ratio['memory_ratio']:.2f} of the "
                  "least of that precision")
            ratios.append(ratio)
    return {"ratios": ratios}


def main():
    args = parse_arguments()
    if not importlib.util.find_spec("torch"):  # not imported here: this process stays small
        stop(f"{sys.executable} has no PyTorch; on Debian: apt-get install python3-torch, and use /usr/bin/python3")
    if args.serve:
        return TorchSide(args).serve()
    if not os.access(args.ours, os.X_OK):
        stop(f"{args.ours} is not there; build it (make), or name it with --ours")

    gflop = 1e-9 * iteration_flops(args)
    print(f"{cpu_model()}, {args.threads} threads, {gflop:.1f} GFLOP per iteration, load average "
          f"{os.getloadavg()[0]:.1f}")
    servers = start_servers(args)
    for i in range(-args.warm_ups, args.rounds):
        for server in servers:
            ms = float(server.ask("run"))
            if i >= 0:
                server.ms.append(ms)
        if i >= 0:
            print(f"round {i + 1}: " + ", ".join(f"{s.name} {s.ms[-1]:.1f} ms" for s in servers), flush=True)
    results = {server.name: server.summary() for server in servers}
    for server in servers:
        server.ask("quit")
        server.process.wait()
    ratios = report(results, gflop)

    if args.json is not None:
        date = datetime.date.today().isoformat()
        masked = f"-masked{100 * args.density:g}" if args.density < 1 else ""
        path = args.json or os.path.join(ROOT, "bench", "results", f"{date}-cpu-sngan32-pytorch{masked}.json")
        setting = {name: value for name, value in vars(args).items() if name not in ("ours", "json", "serve")}
        with open(path, "w") as file:
            json.dump({"date": date, "commit": git_commit(), "cpu": cpu_model(), "load_average": os.getloadavg(),
                       "setting": setting, "gflop_per_iteration": gflop, **ratios, "results": results}, file, indent=2)
            file.write("\n")
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
