"""Forward modes of the layer-wise head that no original run is stored for, computed again with numpy in f64.

    python3 -m pip install numpy==2.4.6
    python3 tests/data/recipes/head_modes.py

Reads the checkpoints and the original's hidden states, state and noise in checkpoints/dit_layerwise (stored mode F3) and
checkpoints/dit_llava3d (F5), checks itself against the stored velocities of those two modes, and writes the velocities
of the other modes into checkpoints/<case>/modes.safetensors. A mode with an output stage needs a decoder of that stage's
width, so F1 is computed with the first checkpoint, F2 and F4 with the second one. A mode with `_sinusoid` adds diffusers'
table of positions to the tokens of every block. checkpoints/dit_layerwise/projected.safetensors holds another head, of
width 32 behind a norm and a projection per layer and without a state, and its velocities in modes F1 and F3.
"""

import json
import pathlib
import struct

import numpy as np

CASES = pathlib.Path(__file__).parent.parent / "checkpoints"
HEAD = "action_model."
CROSS = {
    "F1": lambda block: True,
    "F2": lambda block: block % 2 == 1,
    "F3": lambda block: block % 2 == 0,
    "F4": lambda block: True,
    "F5": lambda block: True,
}
OUTPUT = {"F2", "F4", "F5"}


def load(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U8": "u1", "BF16": "<u2"}[entry["dtype"]]
        values = np.frombuffer(data[start:end], kind).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        tensors[name] = values.astype("f8")
    return tensors


def save(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        kind = "BF16" if values.dtype == "<u2" else "F32"
        raw = values.tobytes() if kind == "BF16" else values.astype("<f4").tobytes()
        header[name] = {"dtype": kind, "shape": values.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def norm(x, eps):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def sinusoid(rows, width):
    """In f32, as torch computes the table."""
    factor = np.exp(np.arange(0, width, 2, dtype="f4") * np.float32(-np.log(1e4) / width))
    angles = np.arange(rows, dtype="f4")[:, None] * factor
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(rows, width).astype("f8")


class Head:
    def __init__(self, case, heads, weights=None):
        self.weights = weights or load(case / "checkpoint" / "model.safetensors")
        self.stored = load(case / "expected.safetensors")
        self.heads = heads
        self.blocks = sum(name.startswith("context.block") for name in self.stored)

    def linear(self, name, x):
        return x @ self.weights[f"{HEAD}{name}.weight"].T + self.weights[f"{HEAD}{name}.bias"]

    def mlp(self, name, x):
        return self.linear(f"{name}.layer2", np.maximum(self.linear(f"{name}.layer1", x), 0))

    def attention(self, name, z, context):
        def split(part, x):
            x = self.linear(f"{name}.{part}", x)
            return x.reshape(len(x), self.heads, -1).transpose(1, 0, 2)

        q, k, v = split("to_q", z), split("to_k", context), split("to_v", context)
        mixed = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])) @ v
        return self.linear(f"{name}.to_out.0", mixed.transpose(1, 0, 2).reshape(len(z), -1))

    def context(self, block):
        x, name = self.stored[f"context.block{block:02}"][0], f"project_layers.{block}"
        if f"{name}.1.weight" not in self.weights:
            return x
        x = norm(x, 1e-5) * self.weights[f"{name}.0.weight"] + self.weights[f"{name}.0.bias"]
        return x @ self.weights[f"{name}.1.weight"].T + self.weights[f"{name}.1.bias"]

    def velocity(self, mode, x, bucket):
        width = self.weights[f"{HEAD}position_embedding.weight"].shape[1]
        angles = bucket * 1e4 ** (-np.arange(width // 2) / (width // 2))
        time = np.concatenate([np.sin(angles), np.cos(angles)])
        actions = self.linear("action_encoder.layer1", x)
        actions = np.concatenate([actions, np.tile(time, (len(x), 1))], 1)
        actions = self.linear("action_encoder.layer3", silu(self.linear("action_encoder.layer2", actions)))
        actions = actions + self.weights[f"{HEAD}position_embedding.weight"][: len(x)]
        pieces = [self.weights[f"{HEAD}future_tokens.weight"], actions]
        if f"{HEAD}state_encoder.layer1.weight" in self.weights:
            pieces.insert(0, self.mlp("state_encoder", self.stored["state.normalized"][None]))
        h = np.concatenate(pieces)
        mode, _, positions = mode.partition("_")

        angles = bucket * 1e4 ** (-np.arange(128) / 127)
        embedder = "model.timestep_encoder.timestep_embedder.linear_"
        temb = self.linear(f"{embedder}1", np.concatenate([np.cos(angles), np.sin(angles)]))
        temb = self.linear(f"{embedder}2", silu(temb))
        for block in range(self.blocks):
            name = f"model.transformer_blocks.{block}"
            scale, shift = np.split(self.linear(f"{name}.norm1.linear", silu(temb)), 2)
            z = norm(h, 1e-5) * (1 + scale) + shift
            if positions:
                z = z + sinusoid(*h.shape)
            context = self.context(block) if CROSS[mode](block) else z
            if mode == "F4":
                context = np.concatenate([context, h])
            h = h + self.attention(f"{name}.attn1", z, context)
            inner = gelu(self.linear(f"{name}.ff.net.0.proj", norm(h, 1e-5)))
            h = h + self.linear(f"{name}.ff.net.2", inner)
        if mode in OUTPUT:
            shift, scale = np.split(self.linear("model.proj_out_1", silu(temb)), 2)
            h = self.linear("model.proj_out_2", norm(h, 1e-6) * (1 + scale) + shift)
        return self.mlp("action_decoder", h[-len(x) :])

    def velocities(self, mode, steps=4):
        x, made = self.stored["flow.noise"], []
        for step in range(steps):
            made.append(self.velocity(mode, x, int(step / steps * 1000)))
            x = x + made[-1] / steps
        return np.stack(made)


def main():
    for case, heads, known, others in [("dit_layerwise", 3, "F3", ["F1", "F1_sinusoid", "F3_sinusoid"]), ("dit_llava3d", 1, "F5", ["F2", "F4"])]:
        head = Head(CASES / case, heads)
        worst = np.abs(head.velocities(known) - head.stored["flow.velocity"]).max()
        print(case, known, worst)
        assert worst < 1e-4
        made = {mode: head.velocities(mode) for mode in others}
        for mode, values in made.items():
            print(case, mode, "differs from", known, "by", np.abs(values - head.stored["flow.velocity"]).max())
        save(CASES / case / "modes.safetensors", made)
    projected(CASES / "dit_layerwise")


def projected(case, width=32, hidden=48):
    """A narrower head with projectors; its numbers as bf16, and the velocities."""
    rng, head = np.random.default_rng(20261125), Head(case, 3)
    shapes = {}
    for name, values in head.weights.items():
        if name.startswith(HEAD) and "state_encoder" not in name and "proj_out" not in name:
            resized = {hidden: width, 2 * hidden: 2 * width, 4 * hidden: 4 * width}
            shapes[name] = [resized.get(length, length) for length in values.shape]
    for block in range(head.blocks):
        shapes |= {f"project_layers.{block}.0.{part}": [hidden] for part in ("weight", "bias")}
        shapes |= {f"project_layers.{block}.1.weight": [width, hidden], f"project_layers.{block}.1.bias": [width]}
    made = {}
    for name, shape in shapes.items():
        values = rng.normal(0, shape[-1] ** -0.5 if len(shape) > 1 else 0.3, shape)
        made[name] = (values.astype("<f4").view("<u4") >> 16).astype("<u2")
    own = {name: (values.astype("<u4") << 16).view("<f4").astype("f8") for name, values in made.items()}
    head = Head(case, 2, own)
    for mode in ("F1", "F3"):
        made[f"velocity.{mode}"] = head.velocities(mode)
        print("projected", mode, np.abs(made[f"velocity.{mode}"]).max())
    save(case / "projected.safetensors", made)


if __name__ == "__main__":
    main()
