"""Golden training iterations of every model of models/ at reduced width, from PyTorch in float64.

To stay small, the file holds neither weights nor inputs: both sides draw them, name by name, from the same Philox
generator (kernels/core/philox.h), scaled as the functions below say. And of each tensor it holds four numbers: its
norm, and its inner products with three vectors drawn likewise. Tensors of one kind make a matrix, rows in the order of
their sorted names.

As in golden_sngan32.py, and for its reason, a run begins in the middle: Adam's second moment is above zero, its clock
stands at 3. And spectral norm has settled: each run begins with three measurements of the balance ratio, which are
forward passes and nothing else.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from golden_networks import (BigGan32Discriminator, BigGan32Generator, BigGan64Discriminator, BigGan64Generator,
                             DcganDiscriminator, DcganGenerator, SnganDiscriminator, SnganGenerator)

BATCH, CLASSES = 4, 3
LR_G, LR_D, EMA_DECAY, BETA2 = 4e-4, 2e-4, 0.9, 0.9
ADAM_STEPS_TAKEN = 3
TEST_STREAM = 8


def philox(key, counters, stream):
    """The four words of each counter, [len(counters), 4]."""
    c = [(counters & 0xffffffff).astype(np.uint64),
         (((counters >> 32) & 0xffff) | (stream << 16)).astype(np.uint64),
         np.zeros(len(counters), np.uint64), np.zeros(len(counters), np.uint64)]
    low, k0, k1 = np.uint64(0xffffffff), key & 0xffffffff, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
             p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xffffffff, (k1 + 0xBB67AE85) & 0xffffffff
    return np.stack(c, axis=1)


def uniform(name, count):
    """In (-1, 1), a function of the name: FNV-1a of it is the key."""
    key = 0xcbf29ce484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001b3) & 0xffffffffffffffff
    words = philox(key, np.arange((count + 3) // 4, dtype=np.uint64), TEST_STREAM).reshape(-1)[:count]
    return 2 * (((words >> np.uint64(9)).astype(np.float64) + 0.5) / 8388608) - 1


def exact(values):
    """Rounded to float32, held in float64."""
    return values.astype(np.float32).astype(np.float64)


def initial(name, shape):
    """What a tensor of the state starts from, in Poise's layout."""
    count = int(np.prod(shape))
    x, key = uniform(name, count), name.rsplit(".", 1)[1]
    if key == "weight":
        x = x / np.sqrt(count / shape[0])
    elif key == "gamma":
        x = 1 + 0.25 * x
    elif key == "running_var":
        x = 1 + 0.5 * x
    elif key in ("bias", "beta", "running_mean", "gate"):
        x = 0.25 * x
    return exact(x).reshape(shape)  # u, v: as drawn


def summary(name, values):
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    return [np.sqrt(flat @ flat)] + [flat @ uniform(f"{name}.projection{k}", len(flat)) for k in range(3)]


def ours(t, key, module):
    """A PyTorch tensor in Poise's layout."""
    if key == "weight_v" and module.weight_orig.dim() == 4:
        return t.view(module.weight_orig.shape[1:]).permute(1, 2, 0).reshape(-1)
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def theirs(t, key, module):
    """And back."""
    if key == "weight_v" and module.weight_orig.dim() == 4:
        c, h, w = module.weight_orig.shape[1:]
        return t.view(h, w, c).permute(2, 0, 1).reshape(-1)
    return t.permute(0, 3, 1, 2) if t.dim() == 4 else t


def entries(net, root):
    """(our name, tensor, key, module, is a parameter) of everything that a network keeps."""
    for path, module in net.named_modules():
        prefix = f"{root}.{path}." if path else f"{root}."
        affine = isinstance(module, nn.BatchNorm2d)
        for key, p in module.named_parameters(recurse=False):
            name = {"weight": "gamma", "bias": "beta"}[key] if affine else key.removesuffix("_orig")
            yield prefix + name, p, key, module, True
        for key, b in module.named_buffers(recurse=False):
            if key != "num_batches_tracked":
                yield prefix + key.removeprefix("weight_"), b, key, module, False


def fill(net, root):
    for name, t, key, module, _ in entries(net, root):
        shape = tuple(ours(t, key, module).shape)
        t.data = theirs(torch.from_numpy(initial(name, shape)), key, module).contiguous().clone()


class Run:
    def __init__(self, name, g, d, size, latent, conditional):
        self.name, self.g, self.d = name, g.double(), d.double()
        self.size, self.latent, self.conditional = size, latent, conditional
        self.out = {}
        fill(self.g, f"{name}.G")
        fill(self.d, f"{name}.D")
        self.adam = {}
        for net, root, lr in ((g, "G", LR_G), (d, "D", LR_D)):
            optimizer = torch.optim.Adam(net.parameters(), lr, (0.0, BETA2), 1e-8)
            for entry_name, p, key, module, is_parameter in entries(net, f"{name}.{root}"):
                if not is_parameter:
                    continue
                shape = tuple(ours(p, key, module).shape)
                v = exact(0.01 * (1 + 0.5 * uniform(entry_name + ".adam_v", p.numel()))).reshape(shape)
                optimizer.state[p] = {"step": torch.tensor(float(ADAM_STEPS_TAKEN)),
                                      "exp_avg": torch.zeros_like(p),
                                      "exp_avg_sq": theirs(torch.from_numpy(v), key, module).contiguous()}
            self.adam[root] = optimizer
        self.ema = [p.detach().clone() for p in g.parameters()]

    def labels(self, name):
        return torch.from_numpy(((uniform(name, BATCH) + 1) / 2 * CLASSES).astype(np.int64)) if self.conditional else None

    def latents(self, name):
        return torch.from_numpy(exact(1.5 * uniform(name, BATCH * self.latent))).view(BATCH, self.latent)

    def images(self, name):
        flat = exact(uniform(name, BATCH * self.size * self.size * 3))
        return torch.from_numpy(flat).view(BATCH, self.size, self.size, 3).permute(0, 3, 1, 2)

    def both(self, a, b):
        return torch.cat([a, b]) if self.conditional else None

    def record_gradients(self, net, root, at):
        rows = {n: summary(n + ".gradient", ours(p.grad, key, module).numpy())
                for n, p, key, module, is_parameter in entries(net, f"{self.name}.{root}") if is_parameter}
        self.out[f"{self.name}.gradients_{root}{at}"] = np.array([rows[n] for n in sorted(rows)])

    def probe(self):
        n, z_name = f"{self.name}.d0", f"{self.name}.g0"
        real, y_real, z, y = self.images(n), self.labels(n + ".real"), self.latents(z_name), self.labels(z_name)
        with torch.no_grad():
            for _ in range(3):
                a_post, r = self.d(self.g(z, y), y).mean(), self.d(real, y_real).mean()
        self.out[f"{self.name}.probe"] = torch.stack([a_post, r]).numpy()

    def d_step(self, at):
        n = f"{self.name}.d{at}"
        real, z, y_real, y_fake = self.images(n), self.latents(n), self.labels(n + ".real"), self.labels(n + ".fake")
        with torch.no_grad():
            fake = self.g(z, y_fake)
        self.adam["D"].zero_grad(set_to_none=True)
        logits = self.d(torch.cat([real, fake]), self.both(y_real, y_fake))
        r, f = logits[:BATCH], logits[BATCH:]
        assert min((r - 1).abs().min(), (f + 1).abs().min()) > 1e-3, "a logit at the hinge's kink"
        loss = F.relu(1 - r).mean() + F.relu(1 + f).mean()
        loss.backward()
        self.record_gradients(self.d, "D", at)
        self.adam["D"].step()
        self.out[f"{n}.losses"] = torch.stack([loss, r.mean(), f.mean()]).detach().numpy()

    def g_step(self, at):
        n = f"{self.name}.g{at}"
        z, labels = self.latents(n), self.labels(n)
        self.d.requires_grad_(False)
        self.adam["G"].zero_grad(set_to_none=True)
        loss = -self.d(self.g(z, labels), labels).mean()
        loss.backward()
        self.record_gradients(self.g, "G", at)
        self.adam["G"].step()
        self.d.requires_grad_(True)
        with torch.no_grad():
            for e, p in zip(self.ema, self.g.parameters()):
                e.mul_(EMA_DECAY).add_(p, alpha=1 - EMA_DECAY)
        self.out[f"{n}.losses"] = loss.detach().reshape(1).numpy()

    def record_state(self):
        rows = {}
        for net, root in ((self.g, "G"), (self.d, "D")):
            for n, t, key, module, is_parameter in entries(net, f"{self.name}.{root}"):
                rows[n] = summary(n, ours(t.detach(), key, module).numpy())
                if is_parameter:
                    v = self.adam[root].state[t]["exp_avg_sq"]
                    rows[n + ".adam_v"] = summary(n + ".adam_v", ours(v, key, module).numpy())
        average = dict(zip(map(id, self.g.parameters()), self.ema))
        for n, p, key, module, is_parameter in entries(self.g, f"{self.name}.G"):
            if is_parameter:
                rows[n + ".ema"] = summary(n + ".ema", ours(average[id(p)], key, module).numpy())
        self.out[f"{self.name}.state"] = np.array([rows[n] for n in sorted(rows)])


def models(only=None):
    """Gradients of every step and the state after the last iteration; three iterations for the conditional models."""
    out = {}
    plan = [
        ("sngan32-resnet", SnganGenerator(4, [8] * 4, 8),
         SnganDiscriminator([(8, "first"), (8, "down"), (8, "plain"), (8, "plain")]), 32, 8, 1),
        ("sngan48", SnganGenerator(6, [32, 16, 8, 4], 8),
         SnganDiscriminator([(4, "first")] + [(4 * 2 ** i, "down") for i in range(1, 5)]), 48, 8, 1),
        ("sngan64", SnganGenerator(4, [64, 32, 16, 8, 4], 8),
         SnganDiscriminator([(4, "first")] + [(4 * 2 ** i, "down") for i in range(1, 5)]), 64, 8, 1),
        ("dcgan32", DcganGenerator(4, 8), DcganDiscriminator(4), 32, 8, 1),
        ("biggan32", BigGan32Generator(8, 8, CLASSES), BigGan32Discriminator(8, CLASSES), 32, 8, 3),
        ("biggan64", BigGan64Generator(8, 25, CLASSES), BigGan64Discriminator(8, CLASSES), 64, 25, 3)]
    for name, g, d, size, latent, iterations in plan:
        if only and name != only:
            continue
        run = Run(name, g, d, size, latent, name.startswith("biggan"))
        run.probe()
        for i in range(iterations):
            run.d_step(i)
            run.g_step(i)
        run.record_state()
        out |= run.out
    return out
