#!/usr/bin/env python3
"""The training iteration of SNGAN-32 in PyTorch on a GPU, in the two forms that a practitioner would reach for.

    python3 bench/peers/pytorch_gpu_step.py --batch-size-d 64 --batch-size-g 128 --json FILE

  eager     autocast to bf16, channels_last, cudnn.benchmark, fused Adam
  compiled  the same under torch.compile, and the whole D step and G step captured as CUDA graphs

The networks and steps are those of sngan32_pytorch.py, which tests/golden compares with ours: the same batches, the same
single concatenated D batch, Adam and the moving average of G. Images and latents are made on the GPU; the host waits
once per iteration, as train_step_bench does. A form that fails is reported as such and does not hide the other.
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

from sngan32_pytorch import Discriminator, Generator


class Side:
    """One set of networks with its optimisers, static inputs, and a D step and a G step without arguments."""

    def __init__(self, args, compiled):
        torch.manual_seed(1)
        self.args, device = args, "cuda"
        fmt = torch.channels_last
        self.g = Generator(args.width_g, args.latent_size, fmt).to(device, memory_format=fmt)
        self.d = Discriminator(args.width_d).to(device, memory_format=fmt)
        adam = dict(lr=2e-4, betas=(0.0, 0.9), eps=1e-8, fused=True, capturable=True)
        self.opt_g = torch.optim.Adam(self.g.parameters(), **adam)
        self.opt_d = torch.optim.Adam(self.d.parameters(), **adam)
        self.ema = [p.detach().clone() for p in self.g.parameters()]
        self.pictures = torch.randint(0, 256, (4096, 3, 32, 32), dtype=torch.uint8, device=device)
        self.loss_d = torch.zeros((), device=device)
        self.loss_g = torch.zeros((), device=device)
        self.run_g = torch.compile(self.g) if compiled else self.g
        self.run_d = torch.compile(self.d) if compiled else self.d

    def amp(self):
        return torch.autocast("cuda", dtype=torch.bfloat16)

    def d_step(self):
        args = self.args
        index = torch.randint(0, len(self.pictures), (args.batch_size_d,), device="cuda")
        real = (self.pictures[index].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        z = torch.randn(args.batch_size_d, args.latent_size, device="cuda")
        with self.amp():
            with torch.no_grad():
                fake = self.run_g(z).float()
            logits = self.run_d(torch.cat([real, fake]).contiguous(memory_format=torch.channels_last)).float()
            r, f = logits[:args.batch_size_d], logits[args.batch_size_d:]
            loss = F.relu(1 - r).mean() + F.relu(1 + f).mean()
        self.opt_d.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_d.step()
        self.loss_d.copy_(loss.detach())

    def g_step(self):
        args = self.args
        z = torch.randn(args.batch_size_g, args.latent_size, device="cuda")
        for p in self.d.parameters():
            p.requires_grad_(False)
        with self.amp():
            loss = -self.run_d(self.run_g(z)).float().mean()
        self.opt_g.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_g.step()
        for p in self.d.parameters():
            p.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, list(self.g.parameters()), 1e-3)
        self.loss_g.copy_(loss.detach())

    def captured(self, step):
        """`step` as a CUDA graph, after three plain runs on a side stream as PyTorch's documentation asks."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay


def measure(args, compiled):
    side = Side(args, compiled)
    d_step, g_step = side.d_step, side.g_step
    if compiled:
        d_step, g_step = side.captured(d_step), side.captured(g_step)
    ms = []
    for i in range(-args.warm_ups, args.iterations):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(args.n_critic):
            d_step()
        g_step()
        torch.cuda.synchronize()
        if i >= 0:
            ms.append((time.perf_counter() - start) * 1e3)
    losses = float(side.loss_d), float(side.loss_g)
    if not all(abs(x) < 1e6 for x in losses):  # false for NaN too
        raise RuntimeError(f"losses {losses}")
    return {"median_ms": statistics.median(ms), "min_ms": min(ms), "ms": ms, "losses": losses,
            "peak_mib": torch.cuda.max_memory_allocated() / 2**20}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("width-g", 256), ("width-d", 128), ("latent-size", 128), ("batch-size-d", 64),
                        ("batch-size-g", 128), ("n-critic", 5), ("iterations", 20), ("warm-ups", 5)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--json")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("pytorch_gpu_step: error: PyTorch finds no GPU", file=sys.stderr)
        return 3
    torch.backends.cudnn.benchmark = True
    results = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
               "device": torch.cuda.get_device_name(), "setting": vars(args)}
    failed = False
    for name, compiled in (("eager", False), ("compiled", True)):
        try:
            results[name] = measure(args, compiled)
            print(f"{name:10}{results[name]['median_ms']:9.2f} ms, {results[name]['peak_mib']:.0f} MiB", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            results[name] = {"error": f"{type(error).__name__}: {error}"[:2000]}
            failed = True
            print(f"{name}: {results[name]['error']}", file=sys.stderr, flush=True)
        if args.json:
            with open(args.json, "w") as file:
                json.dump(results, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
