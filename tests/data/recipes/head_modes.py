"""Forward modes of the layer-wise head that no original run is stored for, computed again with numpy in f64.

    python3 -m pip install numpy==2.4.6
    python3 tests/data/recipes/head_modes.py

Reads the checkpoints and the original's hidden states, state and noise in checkpoints/dit_layerwise (stored mode F3) and
checkpoints/dit_llava3d (F5), checks itself against the stored velocities of those two modes, and writes the velocities
of the other modes into checkpoints/<case>/modes.safetensors. A mode with an output stage needs a decoder of that stage's
width, so F1 is computed with the first checkpoint, F2 and F4 with the second one.
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
        raw = values.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), len(data) + len(raw)]}
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


class Head:
    def __init__(self, case, heads):
        self.weights = load(case / "checkpoint" / "model.safetensors")
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

    def velocity(self, mode, x, bucket):
        width = self.weights[f"{HEAD}position_embedding.weight"].shape[1]
        angles = bucket * 1e4 ** (-np.arange(width // 2) / (width // 2))
        time = np.concatenate([np.sin(angles), np.cos(angles)])
        actions = self.linear("action_encoder.layer1", x)
        actions = np.concatenate([actions, np.tile(time, (len(x), 1))], 1)
        actions = self.linear("action_encoder.layer3", silu(self.linear("action_encoder.layer2", actions)))
        actions = actions + self.weights[f"{HEAD}position_embedding.weight"][: len(x)]
        state = self.mlp("state_encoder", self.stored["state.normalized"][None])
        h = np.concatenate([state, self.weights[f"{HEAD}future_tokens.weight"], actions])

        angles = bucket * 1e4 ** (-np.arange(128) / 127)
        embedder = "model.timestep_encoder.timestep_embedder.linear_"
        temb = self.linear(f"{embedder}1", np.concatenate([np.cos(angles), np.sin(angles)]))
        temb = self.linear(f"{embedder}2", silu(temb))
        for block in range(self.blocks):
            name = f"model.transformer_blocks.{block}"
            scale, shift = np.split(self.linear(f"{name}.norm1.linear", silu(temb)), 2)
            z = norm(h, 1e-5) * (1 + scale) + shift
            context = self.stored[f"context.block{block:02}"][0] if CROSS[mode](block) else z
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
    for case, heads, known, others in [("dit_layerwise", 3, "F3", ["F1"]), ("dit_llava3d", 1, "F5", ["F2", "F4"])]:
        head = Head(CASES / case, heads)
        worst = np.abs(head.velocities(known) - head.stored["flow.velocity"]).max()
        print(case, known, worst)
        assert worst < 1e-4
        made = {mode: head.velocities(mode) for mode in others}
        for mode, values in made.items():
            print(case, mode, "differs from", known, "by", np.abs(values - head.stored["flow.velocity"]).max())
        save(CASES / case / "modes.safetensors", made)


if __name__ == "__main__":
    main()
