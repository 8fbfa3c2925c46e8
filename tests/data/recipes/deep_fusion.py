"""Deep fusion in its three variants, computed again with numpy in f64.

    python3 -m pip install numpy==2.4.6
    python3 tests/data/recipes/deep_fusion.py GOLDEN

GOLDEN is the folder of a run of the original with a geometry branch (variant V2: a narrow expert). The computation is
first checked against that run's velocities, from its own prefix embeddings on. Then the geometry branch is taken out of
the checkpoint and the three variants are written to checkpoints/deep_fusion_{v0,v1,v2}, each with the velocities of its
steps in expected.safetensors: V0 has no layers of its own, V1 layers of the language model's width, here those of the
language model in another order. Pictures and text reach the prefix through the original's own rows. Beside V2 stand the
velocities of its weights under other patterns of the suffix, and from noise at time 0.
"""

import json
import pathlib
import shutil
import struct
import sys

import numpy as np

from head_modes import load, silu, softmax

OUT = pathlib.Path(__file__).parent.parent / "checkpoints"
LANGUAGE, EXPERT, PARTS = "language_model.model.model.", "language_model_with_expert.", "action_expert."
HEADS, WIDTH, LAYERS, STEPS = 8, 8, 4, 10
# Of state, ten actions and time: a 1 begins a block, whose tokens see each other and those before them.
PATTERNS = {
    "one_block": [1] + [0] * 11,
    "state_apart": [1, 1] + [0] * 10,
    "three_blocks": [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1],
    "causal": [1] * 12,
}


def save(path, tensors):
    header, data = {}, b""
    for name, (kind, values) in tensors.items():
        raw = values.tobytes()
        header[name] = {"dtype": kind, "shape": values.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def bf16(values):
    """The upper halves; every number given here is one already, or is cut off."""
    return "BF16", (np.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype("<u2")


def rms(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def rotate(x, positions):
    angles = positions[:, None] * 1e4 ** (-np.arange(0, WIDTH, 2) / WIDTH)
    a, b = np.split(x, 2, -1)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


class Stack:
    def __init__(self, weights, layer, projection):
        self.weights, self.layer, self.projection = weights, layer, projection

    def step(self, index, x, positions, memory, hidden=0.0):
        def by_head(part):
            y = z @ self.weights[self.projection(index, part)].T
            return y.reshape(len(y), HEADS, WIDTH).transpose(1, 0, 2)

        def get(name):
            return self.weights[f"{self.layer(index)}{name}.weight"]

        z = rms(x, get("input_layernorm"))
        q, k, v = rotate(by_head("q"), positions), rotate(by_head("k"), positions), by_head("v")
        own = [k, v]
        if memory is not None:
            k, v = (np.concatenate([a, b], 1) for a, b in zip(memory, own))
        y = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH) + hidden) @ v
        x = x + y.transpose(1, 0, 2).reshape(len(x), -1) @ self.weights[self.projection(index, "o")].T
        z = rms(x, get("post_attention_layernorm"))
        x = x + (silu(z @ get("mlp.gate_proj").T) * (z @ get("mlp.up_proj").T)) @ get("mlp.down_proj").T
        return x, own


def language(weights):
    return Stack(
        weights,
        lambda index: f"{LANGUAGE}layers.{index}.",
        lambda index, part: f"{LANGUAGE}layers.{index}.self_attn.{part}_proj.weight",
    )


def expert(weights, variant):
    if variant == "v0":
        return language(weights)
    layer = f"{EXPERT}expert_model.layers."
    names = {
        "v1": lambda index, part: f"{layer}{index}.self_attn.{part}_proj.weight",
        "v2": lambda index, part: f"{EXPERT}expert_{part}_projs.{index}.weight",
    }
    return Stack(weights, lambda index: f"{layer}{index}.", names[variant])


def velocities(weights, variant, embeds, state, noise, pattern="one_block", t_noise=1):
    def linear(name, x):
        return x @ weights[f"{PARTS}{name}.weight"].T + weights[f"{PARTS}{name}.bias"]

    x, positions, memories = embeds, np.arange(len(embeds)), []
    for index in range(LAYERS):
        x, memory = language(weights).step(index, x, positions, None)
        memories.append(memory)
    own, sample, made = expert(weights, variant), noise, []
    block = np.cumsum(PATTERNS[pattern])
    unseen = np.where(block[None] > block[:, None], -np.inf, 0.0)
    hidden = np.concatenate([np.zeros((len(block), len(embeds))), unseen], 1)
    for step in range(STEPS):
        t = 1 - step / STEPS if t_noise == 1 else step / STEPS
        half = weights[f"{PARTS}time_mlp_in.weight"].shape[0] // 2
        angles = 2 * np.pi * t / (0.004 * 1000 ** (np.arange(half) / (half - 1)))
        time = linear("time_mlp_out", silu(linear("time_mlp_in", np.concatenate([np.sin(angles), np.cos(angles)]))))
        h = np.concatenate([linear("state_proj", state), linear("action_in_proj", sample), time[None]])
        for index in range(LAYERS):
            h, _ = own.step(index, h, len(embeds) + np.arange(len(h)), memories[index], hidden)
        h = rms(h, weights[f"{EXPERT}expert_norm.weight"])
        made.append(linear("action_out_proj", h[1 : 1 + len(sample)]))
        sample = sample + (1 - 2 * t_noise) * made[-1] / STEPS
    return np.stack(made)


def variant_weights(weights, variant):
    kept = {n: v for n, v in weights.items() if not n.startswith(("geometric_", "fusion_projector."))}
    if variant == "v2":
        return kept
    kept = {n: v for n, v in kept.items() if not n.startswith((EXPERT, PARTS))}
    rng = np.random.default_rng(20261125)
    for name, values in weights.items():
        if name.startswith(PARTS):
            shape = [64 if length == 32 else length for length in values.shape]
            kept[name] = rng.normal(0, values.std(), shape)
    kept[f"{EXPERT}expert_norm.weight"] = rng.normal(1, 0.1, 64)
    if variant == "v1":
        for index in range(LAYERS):
            start = f"{LANGUAGE}layers.{(index + 1) % LAYERS}."
            for name in [name for name in kept if name.startswith(start)]:
                kept[f"{EXPERT}expert_model.layers.{index}.{name[len(start):]}"] = kept[name]
    return {name: (np.asarray(values, "<f4").view("<u4") & 0xFFFF0000).view("<f4").astype("f8") for name, values in kept.items()}


def main():
    golden = pathlib.Path(sys.argv[1])
    stored, weights = load(golden / "expected.safetensors"), load(golden / "checkpoint" / "model.safetensors")
    valid = int(stored["prefix.pad_mask"].sum())
    state, noise = stored["state.normalized"], stored["flow.noise"]
    made = velocities(weights, "v2", stored["prefix.embeds"][0][:valid], state, noise)
    worst = np.abs(made - stored["flow.velocity"]).max()
    print("stored run", worst)
    assert worst < 1e-3
    ids = stored["input_ids"][0][:valid].astype(int)
    for variant in ["v0", "v1", "v2"]:
        case = OUT / f"deep_fusion_{variant}"
        shutil.rmtree(case, ignore_errors=True)
        (case / "checkpoint").mkdir(parents=True)
        shutil.copytree(golden / "checkpoint" / "assets", case / "checkpoint" / "assets")
        for name in ["preprocessor_config.json", "tokenizer.json"]:
            shutil.copy(golden / "checkpoint" / name, case / "checkpoint" / name)
        shutil.copytree(golden / "input", case / "input")
        config = json.loads((golden / "checkpoint" / "config.json").read_text())
        config |= {"use_geometric_branch": False, "mapanything_config": None}
        if variant == "v0":
            config["text_config"]["expert_share_base_layers"] = True
        config["expert_hidden_size"] = {"v0": 64, "v1": 64, "v2": 32}[variant]
        (case / "checkpoint" / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        run = json.loads((golden / "run.json").read_text())
        at = run["infer"].index("--camera-info")
        del run["infer"][at : at + 2]
        (case / "input" / "camera_info.json").unlink()
        (case / "run.json").write_text(json.dumps(run, indent=1) + "\n")
        own = variant_weights(weights, variant)
        save(case / "checkpoint" / "model.safetensors", {name: bf16(values) for name, values in own.items()})
        own = load(case / "checkpoint" / "model.safetensors")
        embeds = own[f"{LANGUAGE}embed_tokens.weight"][ids]
        embeds[ids == 1025] = stored["vision.projected"][0]
        made = velocities(own, variant, embeds, state, noise)
        others = {}
        if variant == "v2":
            for pattern in PATTERNS:
                others[f"velocity.{pattern}"] = velocities(own, variant, embeds, state, noise, pattern)
            others["velocity.noise_at_0"] = velocities(own, variant, embeds, state, noise, t_noise=0)
            del others["velocity.one_block"]
            for name, other in others.items():
                print(name, "differs by", np.abs(other - made).max())
        tensors = others | {"flow.noise": noise, "flow.velocity": made, "state.normalized": state}
        expected = {name: ("F32", values.astype("<f4")) for name, values in tensors.items()}
        expected["input_ids"] = ("I64", ids[None].astype("<i8"))
        save(case / "expected.safetensors", expected)
        print(variant, "largest velocity", np.abs(made).max())


if __name__ == "__main__":
    main()
