#!/usr/bin/env python3
"""The policy of benches/flow_family.rs in PyTorch eager, as installed from PyPI (manual benchmark).

    cargo bench --bench flow_family -- FOLDER
    python3 -m venv /path/to/env && /path/to/env/bin/pip install torch numpy safetensors
    /path/to/env/bin/python benches/torch_flow.py FOLDER [--threads 2] [--runs 7]

Reads the checkpoint, inputs, noise and answer that the benchmark left in FOLDER. As the original does it keeps the prefix's
keys and values and runs state and actions through each step, the actions masked from the state; nothing is padded, so
nothing else is masked. Prints the time from pictures to actions and how far the two answers are apart.
"""
import argparse
import json
import math
import pathlib
import statistics
import time

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

LANGUAGE = "paligemma_with_expert.paligemma.model.language_model."
EXPERT = "paligemma_with_expert.gemma_expert.model."
TOWER = "paligemma_with_expert.paligemma.model.vision_tower.vision_model."
PROJECTOR = "paligemma_with_expert.paligemma.model.multi_modal_projector.linear"
TABLE = "paligemma_with_expert.paligemma.lm_head.weight"
STEPS = 10


class Policy:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}

    def linear(self, name, x):
        return F.linear(x, self.weights[name + ".weight"], self.weights.get(name + ".bias"))

    def layer_norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.weights[name + ".bias"], 1e-6)

    def norm(self, name, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + self.weights[name + ".weight"])

    def vision(self, pictures):
        config = self.config["vision_config"]
        kernel = self.weights[TOWER + "embeddings.patch_embedding.weight"]
        x = F.conv2d(pictures, kernel, self.weights[TOWER + "embeddings.patch_embedding.bias"], stride=config["patch_size"])
        x = x.flatten(2).transpose(1, 2) + self.weights[TOWER + "embeddings.position_embedding.weight"]
        heads = config["num_attention_heads"]
        for layer in range(config["num_hidden_layers"]):
            at = f"{TOWER}encoder.layers.{layer}."
            y = self.layer_norm(at + "layer_norm1", x)
            q, k, v = (self.linear(f"{at}self_attn.{p}_proj", y).unflatten(-1, (heads, -1)).transpose(1, 2) for p in "qkv")
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self.linear(at + "self_attn.out_proj", y)
            y = self.linear(at + "mlp.fc1", self.layer_norm(at + "layer_norm2", x))
            x = x + self.linear(at + "mlp.fc2", F.gelu(y, approximate="tanh"))
        return self.linear(PROJECTOR, self.layer_norm(TOWER + "post_layernorm", x))

    def rotate(self, x, positions):
        half = x.shape[-1] // 2
        angles = positions[:, None].float() * 10000.0 ** (-torch.arange(half).float() / half)
        cos, sin = angles.cos(), angles.sin()
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    def keys_values(self, at, y, positions):
        k, v = (self.linear(f"{at}self_attn.{p}_proj", y)[:, None] for p in "kv")
        return self.rotate(k, positions), v

    def layer(self, at, x, positions, memory=None, mask=None):
        """Tokens after a layer, which see the memory and, as the mask says, each other; their own keys and values."""
        y = self.norm(at + "input_layernorm", x)
        q = self.linear(at + "self_attn.q_proj", y).unflatten(-1, (self.config["paligemma_config"]["num_heads"], -1))
        own = self.keys_values(at, y, positions)
        k, v = (torch.cat(pair, dim=2) for pair in zip(memory, own)) if memory else own
        y = F.scaled_dot_product_attention(self.rotate(q.transpose(1, 2), positions), k, v, attn_mask=mask, enable_gqa=True)
        x = x + self.linear(at + "self_attn.o_proj", y.transpose(1, 2).flatten(2))
        y = self.norm(at + "post_attention_layernorm", x)
        y = F.gelu(self.linear(at + "mlp.gate_proj", y), approximate="tanh") * self.linear(at + "mlp.up_proj", y)
        return x + self.linear(at + "mlp.down_proj", y), own

    def prefill(self, pictures, ids):
        depth, width = (self.config["paligemma_config"][key] for key in ("depth", "width"))
        text = F.embedding(ids, self.weights[TABLE]) * math.sqrt(width)
        x = torch.cat((self.vision(pictures).flatten(0, 1)[None], text), dim=1)
        positions, memory = torch.arange(x.shape[1]), []
        for layer in range(depth - 1):
            x, own = self.layer(f"{LANGUAGE}layers.{layer}.", x, positions)
            memory.append(own)
        at = f"{LANGUAGE}layers.{depth - 1}."
        memory.append(self.keys_values(at, self.norm(at + "input_layernorm", x), positions))
        return memory, x.shape[1]

    def velocity(self, memory, start, state, x, t):
        """The state sees the prefix and itself, an action everything."""
        half = self.config["action_expert_config"]["width"] // 2
        period = 4e-3 * 1000.0 ** (torch.arange(half, dtype=torch.float64) / (half - 1))
        angle = 2 * math.pi * float(t) / period
        e = torch.cat((angle.sin(), angle.cos())).float()
        actions = self.linear("action_in_proj", x)
        actions = F.silu(self.linear("action_time_mlp_in", torch.cat((actions, e.expand_as(actions)), dim=-1)))
        x = torch.cat((self.linear("state_proj", state), self.linear("action_time_mlp_out", actions)))[None]
        positions = start + torch.arange(x.shape[1])
        mask = torch.ones(x.shape[1], start + x.shape[1], dtype=torch.bool)
        mask[0, start + 1 :] = False
        for layer, kept in enumerate(memory):
            x, _ = self.layer(f"{EXPERT}layers.{layer}.", x, positions, kept, mask)
        return self.linear("action_out_proj", self.norm(EXPERT + "norm", x[:, 1:]))[0]

    def act(self, run):
        memory, start = self.prefill(run["pixel_values"], run["input_ids"])
        x, t = run["flow.noise"], torch.tensor(1.0)
        for _ in range(STEPS):
            x = x - self.velocity(memory, start, run["state"], x, t) / STEPS
            t = t - 1 / STEPS
        return x


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    policy, run = Policy(args.folder / "checkpoint"), load_file(args.folder / "run.safetensors")
    with torch.inference_mode():
        apart = (policy.act(run) - run["normalized_actions"]).abs().max().item()
        seconds = []
        for _ in range(args.runs):
            start = time.perf_counter()
            policy.act(run)
            seconds.append(time.perf_counter() - start)
    print(f"torch {torch.__version__}, {args.threads} threads, fp32, {args.runs} runs")
    print(f"pictures to actions: median {statistics.median(seconds) * 1e3:.1f} ms, min {min(seconds) * 1e3:.1f} ms")
    print(f"actions differ by {apart:.1e} at most")


if __name__ == "__main__":
    main()
