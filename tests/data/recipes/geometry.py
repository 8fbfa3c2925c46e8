"""Two cameras and a geometry branch on LLaVA-like models, computed with numpy in f64 from pictures to velocities.

    python3 -m pip install numpy==2.4.6 pillow==13.0.0
    python3 tests/data/recipes/geometry.py

The computation is first held to the originals' stored runs: deep_fusion_llama (one camera, geometry), late_fusion_flow and
dit_llava3d (one camera, no geometry). Then each of the three gets a second camera and the geometry branch of
deep_fusion_llama, whose widths are theirs, and the velocities of its steps go to data/geometry/<case>.safetensors.
"""

import json
import pathlib

import numpy as np
from PIL import Image

from deep_fusion import velocities
from head_modes import Head, gelu, load, norm, save, silu, softmax

DATA = pathlib.Path(__file__).parent.parent
CASES, OUT = DATA / "checkpoints", DATA / "geometry"
SIDE, PATCH = 56, 14
PICTURES = [CASES / "deep_fusion_llama/input/image_0.png", CASES / "pi05/input/image_1.png"]
IMAGE, GEOMETRY = 1025, "geometric_model.map_anything_model."


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def layer_norm(w, name, x):
    return norm(x, 1e-6) * w[f"{name}.weight"] + w[f"{name}.bias"]


def erf(x):
    """Abramowitz and Stegun 7.1.5: the series, far enough for |x| < 6."""
    total, term = np.zeros_like(x), x.copy()
    for n in range(160):
        total = total + term / (2 * n + 1)
        term = -term * x * x / (n + 1)
    return 2 / np.sqrt(np.pi) * total


def mixed(q, k, v, heads):
    q, k, v = (x.reshape(len(x), heads, -1).transpose(1, 0, 2) for x in (q, k, v))
    return (softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])) @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)


def patches(pixels, kernel):
    """[3, side, side] under [width, 3, PATCH, PATCH], row-major."""
    count = SIDE // PATCH
    cells = pixels.reshape(3, count, PATCH, count, PATCH).transpose(1, 3, 0, 2, 4).reshape(count * count, -1)
    return cells @ kernel.reshape(len(kernel), -1).T


def picture(path):
    """In [0, 1], [3, side, side]."""
    resized = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
    return np.asarray(resized, "f8").transpose(2, 0, 1) / 255


def tower(w, pixels, heads):
    at = "vision_tower.vision_model."
    x = patches(2 * pixels - 1, w[f"{at}embeddings.patch_embedding.weight"]) + w[f"{at}embeddings.patch_embedding.bias"]
    x = x + w[f"{at}embeddings.position_embedding.weight"]
    layers = sum(name.startswith(at) and name.endswith("layer_norm1.weight") for name in w)
    for index in range(layers):
        layer = f"{at}encoder.layers.{index}."
        z = layer_norm(w, f"{layer}layer_norm1", x)
        q, k, v = (linear(w, f"{layer}self_attn.{part}_proj", z) for part in "qkv")
        x = x + linear(w, f"{layer}self_attn.out_proj", mixed(q, k, v, heads))
        z = layer_norm(w, f"{layer}layer_norm2", x)
        x = x + linear(w, f"{layer}mlp.fc2", gelu(linear(w, f"{layer}mlp.fc1", z)))
    return layer_norm(w, f"{at}post_layernorm", x)


def geometry(w, pixels, matrix):
    """Tokens [patches, width] of a picture in [0, 1] whose pixels were seen with the matrix K."""
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    v, u = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)])
    rays = rays / np.sqrt((rays**2).sum(0))
    x = patches(pixels, w[f"{GEOMETRY}encoder.patch_embed.weight"]) + w[f"{GEOMETRY}encoder.patch_embed.bias"]
    x = x + w[f"{GEOMETRY}encoder.pos_embed"]
    # A kernel of weight [width, 3 PATCH^2] over channels c PATCH^2 + i PATCH + j is that of a patch embedding.
    seen = patches(rays, w[f"{GEOMETRY}ray_dirs_encoder.proj.weight"]) + w[f"{GEOMETRY}ray_dirs_encoder.proj.bias"]
    y = layer_norm(w, f"{GEOMETRY}fusion_norm_layer", x + layer_norm(w, f"{GEOMETRY}ray_dirs_encoder.norm", seen))
    for index in range(2):
        block = f"{GEOMETRY}info_sharing.blocks.{index}."
        q, k, v = np.split(linear(w, f"{block}attn.qkv", layer_norm(w, f"{block}norm1", y)), 3, -1)
        y = y + linear(w, f"{block}attn.proj", mixed(q, k, v, 3))
        z = linear(w, f"{block}mlp.fc1", layer_norm(w, f"{block}norm2", y))
        y = y + linear(w, f"{block}mlp.fc2", 0.5 * z * (1 + erf(z / np.sqrt(2))))
    return layer_norm(w, f"{GEOMETRY}info_sharing.norm", y)


def rows(w, pixels, matrix, heads):
    """What takes the places of a picture's tokens."""
    seen = linear(w, "vision_projector", tower(w, pixels, heads))
    if matrix is None:
        return seen
    summary = linear(w, "geometric_projector", geometry(w, pixels, matrix)).mean(0)
    return linear(w, "fusion_projector", np.concatenate([seen, np.tile(summary, (len(seen), 1))], 1))


def embeds(w, ids, pictures, matrices, heads):
    x = w["language_model.model.model.embed_tokens.weight"][ids]
    x[ids == IMAGE] = np.concatenate([rows(w, p, m, heads) for p, m in zip(pictures, matrices)])
    return x


def hidden_states(w, x, heads):
    """Embeddings, then what each layer of the causal model makes of them; the last ones after the norm."""
    at = "language_model.model.model."
    layers = sum(name.startswith(f"{at}layers.") and name.endswith("input_layernorm.weight") for name in w)
    positions, states = np.arange(len(x)), [x]

    def rms(x, name):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[name]

    for index in range(layers):
        layer = f"{at}layers.{index}."
        z = rms(x, f"{layer}input_layernorm.weight")
        x = x + causal(z, lambda part: w[f"{layer}self_attn.{part}_proj.weight"], (heads, heads), positions)
        z = rms(x, f"{layer}post_attention_layernorm.weight")
        gate, up, down = (w[f"{layer}mlp.{part}_proj.weight"].T for part in ("gate", "up", "down"))
        x = x + (silu(z @ gate) * (z @ up)) @ down
        states.append(x)
    states[-1] = rms(x, f"{at}norm.weight")
    return states


def causal(z, weight, counts, positions):
    """Attention with rotated queries and keys, in which a token sees those up to itself; groups share keys and values."""
    heads, groups = counts

    def split(part, count):
        return (z @ weight(part).T).reshape(len(z), count, -1).transpose(1, 0, 2)

    q, k, v = split("q", heads), split("k", groups), split("v", groups)
    width = q.shape[-1]
    angles = positions[:, None] * 1e4 ** (-np.arange(0, width, 2) / width)

    def rotate(x):
        a, b = np.split(x, 2, -1)
        return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)

    q, k, v = rotate(q), np.repeat(rotate(k), heads // groups, 0), np.repeat(v, heads // groups, 0)
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(width)
    scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
    return (softmax(scores) @ v).transpose(1, 0, 2).reshape(len(z), -1) @ weight("o").T


def late_velocities(w, context, noise, steps=10):
    """Without a cache: every step runs context, time and actions through the expert."""
    at, width = "action_expert.", w["action_expert.context_projector.weight"].shape[0]
    sample, made = noise, []

    def rms(x, name):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * (1 + w[name])

    for step in range(steps):
        half = width // 2
        angles = 2 * np.pi * (1 - step / steps) / (0.004 * 1000 ** (np.arange(half) / (half - 1)))
        time = silu(linear(w, f"{at}time_mlp_in", np.concatenate([np.sin(angles), np.cos(angles)])))
        time = linear(w, f"{at}time_mlp_out", time)[None]
        x = np.concatenate([linear(w, f"{at}context_projector", context), time, linear(w, f"{at}action_in_proj", sample)])
        x = x * np.sqrt(width)
        for index in range(4):
            layer = f"{at}model.layers.{index}."
            z = rms(x, f"{layer}input_layernorm.weight")
            x = x + causal(z, lambda part: w[f"{layer}self_attn.{part}_proj.weight"], (4, 1), np.arange(len(x)))
            z = rms(x, f"{layer}post_attention_layernorm.weight")
            gate, up, down = (w[f"{layer}mlp.{part}_proj.weight"].T for part in ("gate", "up", "down"))
            x = x + (gelu(z @ gate) * (z @ up)) @ down
        x = rms(x, f"{at}model.norm.weight")
        made.append(linear(w, f"{at}action_out_proj", x[-len(sample) :]))
        sample = sample - made[-1] / steps
    return np.stack(made)


def matrices():
    """By hand from geometry/camera_info.json: P, then K of a part of the sensor whose pixels are combined by twos."""
    front = np.array([[205.5, 0, 118.6], [0, 203.25, 92.3], [0, 0, 1]])
    wrist = np.array([[310.0 / 2, 0, (190.5 - 10) / 2], [0, 305.5 / 2, (131.25 - 6) / 2], [0, 0, 1]])
    return [scaled(front, 240, 180), scaled(wrist, 160, 120)]


def scaled(matrix, width, height):
    sx, sy = SIDE / width, SIDE / height
    return np.array(
        [
            [matrix[0, 0] * sx, 0, (matrix[0, 2] + 0.5) * sx - 0.5],
            [0, matrix[1, 1] * sy, (matrix[1, 2] + 0.5) * sy - 0.5],
            [0, 0, 1],
        ]
    )


class Case:
    def __init__(self, name, prefix, heads):
        self.dir, self.heads = CASES / name, heads
        self.stored = load(self.dir / "expected.safetensors")
        self.weights = load(self.dir / "checkpoint/model.safetensors")
        self.model = {n.removeprefix(prefix): v for n, v in self.weights.items()}
        mask = self.stored.get("prefix.pad_mask")
        count = int(mask.sum()) if mask is not None else self.stored["input_ids"].shape[1]
        self.ids = self.stored["input_ids"][0][:count].astype(int)
        self.noise = self.stored["flow.noise"]

    def one_camera(self, matrix):
        return embeds(self.model, self.ids, [picture(self.dir / "input/image_0.png")], [matrix], self.heads)

    def two_cameras(self, branch):
        at = int((self.ids == IMAGE).argmax())
        ids = np.concatenate([self.ids[:at], [IMAGE] * 16, self.ids[at:]])
        return embeds(self.model | branch, ids, [picture(path) for path in PICTURES], matrices(), self.heads)

    def hold(self, made):
        worst = np.abs(made - self.stored["flow.velocity"]).max()
        print(self.dir.name, "stored run", worst)
        assert worst < 1e-3

    def write(self, x, made):
        OUT.mkdir(exist_ok=True)
        wanted = {"intrinsics": np.stack(matrices()), "prefix.embeds": x, "flow.velocity": made, "flow.noise": self.noise}
        save(OUT / f"{self.dir.name}.safetensors", wanted)
        print(self.dir.name, "moved by", np.abs(made - self.stored["flow.velocity"]).max())


def main():
    deep = Case("deep_fusion_llama", "", 4)
    branch = {n: v for n, v in deep.model.items() if n.startswith(("geometric_", "fusion_projector."))}

    def of_deep(x):
        return velocities(deep.model, "v2", x, deep.stored["state.normalized"], deep.noise)

    x = deep.one_camera(deep.stored["intrinsics.resized"][0])
    print("prefix", np.abs(x - deep.stored["prefix.embeds"][0][: len(x)]).max())
    deep.hold(of_deep(x))
    x = deep.two_cameras(branch)
    deep.write(x, of_deep(x))

    late = Case("late_fusion_flow", "", 4)

    def of_late(x):
        return late_velocities(late.model, hidden_states(late.model, x, 8)[-1], late.noise)

    late.hold(of_late(late.one_camera(None)))
    x = late.two_cameras(branch)
    late.write(x, of_late(x))

    vision = json.loads((CASES / "dit_llava3d/checkpoint/base_vlm/config.json").read_text())["vision_config"]
    dit = Case("dit_llava3d", "mapanythingllava3d_vlm_interface.model.", vision["num_attention_heads"])
    head = Head(dit.dir, 1)

    def of_dit(x):
        states = hidden_states(dit.model, x, 8)
        for block in range(2):
            head.stored[f"context.block{block:02}"] = norm(states[3 + block], 1e-5)[None]
        return head.velocities("F5")

    dit.hold(of_dit(dit.one_camera(None)))
    x = dit.two_cameras(branch)
    dit.write(x, of_dit(x))


if __name__ == "__main__":
    main()
