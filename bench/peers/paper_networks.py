"""The networks of models/ in PyTorch, with the module names of the papers' code, for tensors that `inspect_run export`
wrote. G(z) or G(z, labels) gives images [N,3,H,W] in [-1, 1].

`generator(metadata)` and `discriminator(metadata)` make the one that a file is of, in its widths.
"""
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm


def up(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Up(nn.Module):
    def forward(self, x):
        return up(x)


def plain(layer):
    return layer


def spectral(eps=1e-12):
    return lambda layer: spectral_norm(layer, eps=eps)


# --- lottery: sngan32 -------------------------------------------------------------------------------------------------
class LotteryGenBlock(nn.Module):
    def __init__(self, c_in, c):
        super().__init__()
        self.b1, self.b2 = nn.BatchNorm2d(c_in), nn.BatchNorm2d(c)
        self.c1, self.c2 = nn.Conv2d(c_in, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)
        self.c_sc = nn.Conv2d(c_in, c, 1)

    def forward(self, x):
        return self.c2(F.relu(self.b2(self.c1(up(F.relu(self.b1(x))))))) + self.c_sc(up(x))


class LotteryGenerator(nn.Module):
    def __init__(self, width, latent):
        super().__init__()
        self.width, self.l1 = width, nn.Linear(latent, 16 * width)
        self.block2, self.block3, self.block4 = (LotteryGenBlock(width, width) for _ in range(3))
        self.b5, self.c5 = nn.BatchNorm2d(width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z):
        h = self.block4(self.block3(self.block2(self.l1(z).view(-1, self.width, 4, 4))))
        return torch.tanh(self.c5(F.relu(self.b5(h))))


class LotteryDisBlock(nn.Module):
    def __init__(self, c_in, c, kind):
        super().__init__()
        self.kind = kind
        self.c1, self.c2 = (spectral_norm(nn.Conv2d(i, c, 3, padding=1)) for i in (c_in, c))
        if kind != "plain":
            self.c_sc = spectral_norm(nn.Conv2d(c_in, c, 1))

    def forward(self, x):
        h = self.c2(F.relu(self.c1(x if self.kind == "first" else F.relu(x))))
        if self.kind == "first":
            return F.avg_pool2d(h, 2) + self.c_sc(F.avg_pool2d(x, 2))
        return F.avg_pool2d(h, 2) + F.avg_pool2d(self.c_sc(x), 2) if self.kind == "down" else h + x


class LotteryDiscriminator(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.block1, self.block2 = LotteryDisBlock(3, width, "first"), LotteryDisBlock(width, width, "down")
        self.block3, self.block4 = LotteryDisBlock(width, width, "plain"), LotteryDisBlock(width, width, "plain")
        self.l5 = spectral_norm(nn.Linear(width, 1, bias=False))

    def forward(self, x):
        return self.l5(F.relu(self.block4(self.block3(self.block2(self.block1(x))))).sum(dim=(2, 3)))


# --- resnet: sngan32-resnet, sngan48, sngan64 -------------------------------------------------------------------------
class ResnetGenBlock(nn.Module):
    def __init__(self, c_in, c):
        super().__init__()
        self.shortcut = nn.Sequential(Up(), nn.Conv2d(c_in, c, 1))
        self.residual = nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU(), Up(), nn.Conv2d(c_in, c, 3, padding=1),
                                      nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))

    def forward(self, x):
        return self.residual(x) + self.shortcut(x)


class ResnetGenerator(nn.Module):
    def __init__(self, bottom, channels, latent):
        super().__init__()
        self.bottom, self.linear = bottom, nn.Linear(latent, bottom * bottom * channels[0])
        self.blocks = nn.Sequential(*(ResnetGenBlock(*pair) for pair in zip(channels, channels[1:])))
        self.output = nn.Sequential(nn.BatchNorm2d(channels[-1]), nn.ReLU(), nn.Conv2d(channels[-1], 3, 3, padding=1),
                                    nn.Tanh())

    def forward(self, z):
        return self.output(self.blocks(self.linear(z).view(len(z), -1, self.bottom, self.bottom)))


class SequentialDisBlock(nn.Module):
    def __init__(self, c_in, c, kind):
        super().__init__()
        conv1, conv2 = (spectral_norm(nn.Conv2d(i, c, 3, padding=1)) for i in (c_in, c))
        pool = [] if kind == "plain" else [nn.AvgPool2d(2)]
        self.residual = nn.Sequential(*([] if kind == "first" else [nn.ReLU()]), conv1, nn.ReLU(), conv2, *pool)
        shortcut = [] if kind == "plain" else [spectral_norm(nn.Conv2d(c_in, c, 1))]
        self.shortcut = nn.Sequential(*(pool + shortcut if kind == "first" else shortcut + pool))

    def forward(self, x):
        return self.residual(x) + self.shortcut(x)


class ResnetDiscriminator(nn.Module):
    def __init__(self, stages):
        super().__init__()
        channels = [3] + [c for c, _ in stages]
        self.model = nn.Sequential(*(SequentialDisBlock(c_in, c, kind) for c_in, (c, kind) in zip(channels, stages)),
                                   nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)))
        self.linear = spectral_norm(nn.Linear(channels[-1], 1))

    def forward(self, x):
        return self.linear(self.model(x).flatten(1))


# --- dcgan32 ----------------------------------------------------------------------------------------------------------
class DcganGenerator(nn.Module):
    def __init__(self, w, latent):
        super().__init__()
        self.linear = nn.Linear(latent, 16 * 8 * w)
        layers = []
        for c in (8 * w, 4 * w, 2 * w):
            layers += [nn.BatchNorm2d(c), nn.ReLU(), nn.ConvTranspose2d(c, c // 2, 4, 2, 1)]
        self.main = nn.Sequential(*layers, nn.BatchNorm2d(w), nn.ReLU(), nn.ConvTranspose2d(w, 3, 3, 1, 1), nn.Tanh())

    def forward(self, z):
        return self.main(self.linear(z).view(len(z), -1, 4, 4))


class DcganDiscriminator(nn.Module):
    def __init__(self, w):
        super().__init__()
        layers, c_in = [], 3
        for c, kernel in ((w, 3), (w, 4), (2 * w, 3), (2 * w, 4), (4 * w, 3), (4 * w, 4), (8 * w, 3)):
            layers += [spectral_norm(nn.Conv2d(c_in, c, kernel, kernel - 2, 1)), nn.LeakyReLU(0.1)]
            c_in = c
        self.main, self.linear = nn.Sequential(*layers), spectral_norm(nn.Linear(16 * 8 * w, 1))

    def forward(self, x):
        return self.linear(self.main(x).flatten(1))


# --- biggan.32 --------------------------------------------------------------------------------------------------------
class ConditionalNorm(nn.Module):
    """`key`: what the batch norm inside is called."""

    def __init__(self, key, channels, eps, make_map):
        super().__init__()
        self.key, self.gain, self.bias = key, make_map(channels), make_map(channels)
        setattr(self, key, nn.BatchNorm2d(channels, eps=eps, affine=False))

    def forward(self, x, condition):
        gain, bias = self.gain(condition)[:, :, None, None], self.bias(condition)[:, :, None, None]
        return (1 + gain) * getattr(self, self.key)(x) + bias


class BigGan32GenBlock(nn.Module):
    def __init__(self, c, norm):
        super().__init__()
        self.bn1, self.bn2 = norm(c), norm(c)
        self.residual1 = nn.Sequential(nn.ReLU(), Up(), spectral_norm(nn.Conv2d(c, c, 3, padding=1)))
        self.residual2 = nn.Sequential(nn.ReLU(), spectral_norm(nn.Conv2d(c, c, 3, padding=1)))
        self.shortcut = nn.Sequential(Up(), spectral_norm(nn.Conv2d(c, c, 1)))

    def forward(self, x, labels):
        h = self.residual1(self.bn1(x, labels))
        return self.residual2(self.bn2(h, labels)) + self.shortcut(x)


class BigGan32Generator(nn.Module):
    def __init__(self, w, latent, classes):
        super().__init__()

        def norm(c):
            return ConditionalNorm("batchnorm2d", c, 1e-5, lambda channels: nn.Embedding(classes, channels))

        self.linear = spectral_norm(nn.Linear(latent, 16 * w))
        self.blocks = nn.ModuleList(BigGan32GenBlock(w, norm) for _ in range(3))
        self.output_layer = nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(), spectral_norm(nn.Conv2d(w, 3, 3, padding=1)),
                                          nn.Tanh())

    def forward(self, z, labels):
        h = self.linear(z).view(len(z), -1, 4, 4)
        for block in self.blocks:
            h = block(h, labels)
        return self.output_layer(h)


class BigGan32Discriminator(nn.Module):
    def __init__(self, w, classes):
        super().__init__()
        kinds = ("first", "down", "plain", "plain")
        self.blocks = nn.Sequential(*(SequentialDisBlock(w if i else 3, w, kind) for i, kind in enumerate(kinds)),
                                    nn.ReLU())
        self.classifier, self.embedding = spectral_norm(nn.Linear(w, 1)), spectral_norm(nn.Embedding(classes, w))

    def forward(self, x, labels):
        h = self.blocks(x).sum(dim=(2, 3))
        return self.classifier(h) + (self.embedding(labels) * h).sum(dim=1, keepdim=True)


# --- biggan.64 --------------------------------------------------------------------------------------------------------
def conv(c_in, c, kernel, bias=True):
    return spectral_norm(nn.Conv2d(c_in, c, kernel, padding=kernel // 2, bias=bias), eps=1e-6)


class BigGan64GenBlock(nn.Module):
    def __init__(self, c_in, c, norm):
        super().__init__()
        self.bn1, self.bn2 = norm(c_in), norm(c)
        self.conv2d0, self.conv2d1, self.conv2d2 = conv(c_in, c, 1), conv(c_in, c, 3), conv(c, c, 3)

    def forward(self, x, condition):
        h = self.conv2d1(up(F.relu(self.bn1(x, condition))))
        return self.conv2d2(F.relu(self.bn2(h, condition))) + self.conv2d0(up(x))


class SelfAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1x1_theta, self.conv1x1_phi = conv(c, c // 8, 1, False), conv(c, c // 8, 1, False)
        self.conv1x1_g, self.conv1x1_attn = conv(c, c // 2, 1, False), conv(c // 2, c, 1, False)
        self.sigma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        theta = self.conv1x1_theta(x).flatten(2)
        phi, g = (F.max_pool2d(f(x), 2).flatten(2) for f in (self.conv1x1_phi, self.conv1x1_g))
        attended = g @ torch.softmax(theta.transpose(1, 2) @ phi, dim=-1).transpose(1, 2)
        return x + self.sigma * self.conv1x1_attn(attended.view(len(x), -1, *x.shape[2:]))


class BigGan64Generator(nn.Module):
    def __init__(self, w, latent, classes):
        super().__init__()

        def norm(c):
            return ConditionalNorm("bn", c, 1e-4, lambda channels: spectral_norm(
                nn.Linear(128 + latent // 5, channels, bias=False), eps=1e-6))

        self.linear0 = spectral_norm(nn.Linear(latent // 5, 16 * 16 * w), eps=1e-6)
        self.shared = nn.Embedding(classes, 128)
        blocks = [BigGan64GenBlock(a * w, a // 2 * w, norm) for a in (16, 8, 4)] + [SelfAttention(2 * w),
                                                                                  BigGan64GenBlock(2 * w, w, norm)]
        self.blocks = nn.ModuleList(nn.ModuleList([block]) for block in blocks)
        self.bn4, self.conv2d5 = nn.BatchNorm2d(w, eps=1e-4), conv(w, 3, 3)

    def forward(self, z, labels):
        first, *rest = z.chunk(5, dim=1)
        conditions = [torch.cat([self.shared(labels), chunk], dim=1) for chunk in rest]
        h = self.linear0(first).view(len(z), -1, 4, 4)
        for (block,) in self.blocks:
            h = block(h) if isinstance(block, SelfAttention) else block(h, conditions.pop(0))
        return torch.tanh(self.conv2d5(F.relu(self.bn4(h))))


class BigGan64DisBlock(nn.Module):
    def __init__(self, c_in, c, kind):
        super().__init__()
        self.kind = kind
        self.conv2d0, self.conv2d1, self.conv2d2 = conv(c_in, c, 1), conv(c_in, c, 3), conv(c, c, 3)

    def forward(self, x):
        h = self.conv2d2(F.relu(self.conv2d1(x if self.kind == "first" else F.relu(x))))
        if self.kind == "first":
            return F.avg_pool2d(h, 2) + self.conv2d0(F.avg_pool2d(x, 2))
        return F.avg_pool2d(h + self.conv2d0(x), 2) if self.kind == "down" else h + self.conv2d0(x)


class BigGan64Discriminator(nn.Module):
    def __init__(self, w, classes):
        super().__init__()
        blocks = [BigGan64DisBlock(3, w, "first"), SelfAttention(w)]
        blocks += [BigGan64DisBlock(a * w, 2 * a * w, "wide" if a == 8 else "down") for a in (1, 2, 4, 8)]
        self.blocks = nn.ModuleList(nn.ModuleList([block]) for block in blocks)
        self.linear1 = spectral_norm(nn.Linear(16 * w, 1), eps=1e-6)
        self.embedding = spectral_norm(nn.Embedding(classes, 16 * w), eps=1e-6)

    def forward(self, x, labels):
        for (block,) in self.blocks:
            x = block(x)
        h = F.relu(x).sum(dim=(2, 3))
        return self.linear1(h) + (self.embedding(labels) * h).sum(dim=1, keepdim=True)


def generator(metadata, width):
    """`width`: the run's width_g."""
    model, latent, classes = metadata["model"], int(metadata["latent_size"]), int(metadata["classes"])
    return {"sngan32": lambda: LotteryGenerator(width, latent),
            "sngan32-resnet": lambda: ResnetGenerator(4, [width] * 4, latent),
            "sngan48": lambda: ResnetGenerator(6, [8 * width, 4 * width, 2 * width, width], latent),
            "sngan64": lambda: ResnetGenerator(4, [16 * width, 8 * width, 4 * width, 2 * width, width], latent),
            "dcgan32": lambda: DcganGenerator(width, latent),
            "biggan32": lambda: BigGan32Generator(width, latent, classes),
            "biggan64": lambda: BigGan64Generator(width, latent, classes)}[model]()


def discriminator(metadata, width):
    """`width`: the run's width_d."""
    model, classes = metadata["model"], int(metadata["classes"])
    doubling = [(width, "first")] + [(width * 2 ** i, "down") for i in range(1, 5)]
    return {"sngan32": lambda: LotteryDiscriminator(width),
            "sngan32-resnet": lambda: ResnetDiscriminator([(width, k) for k in ("first", "down", "plain", "plain")]),
            "sngan48": lambda: ResnetDiscriminator(doubling),
            "sngan64": lambda: ResnetDiscriminator(doubling),
            "dcgan32": lambda: DcganDiscriminator(width),
            "biggan32": lambda: BigGan32Discriminator(width, classes),
            "biggan64": lambda: BigGan64Discriminator(width, classes)}[model]()
