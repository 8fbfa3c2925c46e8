#!/usr/bin/env python3
"""The language stack of benches/language_stack.rs in PyTorch eager, as installed from PyPI (manual benchmark).

    python3 -m venv /path/to/env && /path/to/env/bin/pip install torch numpy
    /path/to/env/bin/python benches/torch_eager.py [--threads 2] [--runs 15]

Prints one line per token count: median and minimum in ms.
"""
import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

HIDDEN, HEADS, MLP, LAYERS, THETA, EPS = 1024, 16, 2816, 4, 10000.0, 1e-6


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.q, self.k, self.v, self.o = (linear(HIDDEN, HIDDEN) for _ in range(4))
        self.gate, self.up, self.down = linear(HIDDEN, MLP), linear(HIDDEN, MLP), linear(MLP, HIDDEN)
        self.norm1, self.norm2 = (nn.Parameter(torch.ones(HIDDEN)) for _ in range(2))

    def forward(self, x, cos, sin):
        n = x.shape[1]
        h = rms_norm(x, self.norm1)
        q, k, v = (p(h).view(1, n, HEADS, -1).transpose(1, 2) for p in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + self.o(h.transpose(1, 2).reshape(1, n, HIDDEN))
        h = rms_norm(x, self.norm2)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x, positions):
        dim = HIDDEN // HEADS
        angle = positions[:, None].float() / THETA ** (torch.arange(0, dim, 2).float() / dim)
        angle = torch.cat((angle, angle), dim=-1)
        cos, sin = angle.cos(), angle.sin()
        for layer in self.layers:
            x = layer(x, cos, sin)
        return rms_norm(x, self.norm)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(7)
    stack = Stack().eval()
    print(f"torch {torch.__version__}, {args.threads} threads, fp32, {args.runs} runs")
    with torch.inference_mode():
        for tokens in (593, 231):
            x, positions = torch.randn(1, tokens, HIDDEN), torch.arange(tokens)
            for _ in range(3):
                stack(x, positions)
            times = []
            for _ in range(args.runs):
                start = time.perf_counter()
                stack(x, positions)
                times.append((time.perf_counter() - start) * 1e3)
            print(f"{tokens} tokens: median {statistics.median(times):.1f} ms, min {min(times):.1f} ms")


if __name__ == "__main__":
    main()
