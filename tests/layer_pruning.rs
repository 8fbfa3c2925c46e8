//! Layers that prune, run through ONNX Runtime against the same arithmetic written down plainly in f64.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::collections::BTreeMap;
use std::path::Path;

use onnx_export::blocks::{Condition, LlamaConfig, Routing, routed_llama};
use onnx_export::checkpoint::Weights;
use onnx_export::graph::{Graph, fixed, symbol};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use serde_json::json;
use vla_bundle::Dtype;

const WIDTH: usize = 8;
const INNER: usize = 12;
const HEADS: usize = 2;
const CONFIG: LlamaConfig = LlamaConfig {
    hidden: WIDTH as u64,
    intermediate: INNER as u64,
    layers: 4,
    heads: HEADS as u64,
    vocabulary: 1,
    norm_eps: 1e-5,
    rope_theta: 100.0,
};
const PATCHES: usize = 6;
const TAIL: usize = 3;
/// One before the patches, two between them and the tail.
const TOKENS: usize = 1 + PATCHES + 2 + TAIL;

type Rows = Vec<Vec<f64>>;

#[test]
fn of_equal_scores_the_first_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut graph = Graph::new("choice");
    let scores = graph.input("scores", Dtype::Fp32, &[fixed(7)]).unwrap();
    for count in 1..=7 {
        let chosen = graph.root().largest(&format!("largest{count}"), &scores, count).unwrap();
        graph.output(&format!("chosen{count}"), &chosen).unwrap();
    }
    let mut session = session(graph, dir.path());
    let scores = Tensor::from_array(([7_i64], vec![0.5_f32, 0.9, 0.25, 0.5, 0.9, 0.5, 0.25])).unwrap();
    let made = session.run(vec![("scores", scores.into_dyn())]).unwrap();
    let wanted: [&[i64]; 7] =
        [&[1], &[1, 4], &[0, 1, 4], &[0, 1, 3, 4], &[0, 1, 3, 4, 5], &[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5, 6]];
    for (index, wanted) in wanted.into_iter().enumerate() {
        let chosen = made[format!("chosen{}", index + 1).as_str()].try_extract_tensor::<i64>().unwrap().1;
        assert_eq!(chosen, wanted);
    }
}

#[test]
fn a_router_without_an_opinion_keeps_the_first_patches() {
    let dir = tempfile::tempdir().unwrap();
    let weights = weights(dir.path(), |name, _| !name.contains("router.router"));
    let kept = BTreeMap::from([(1, 3)]);
    let (_, chosen) = run(&weights, dir.path(), kept, Condition::Nothing);
    assert_eq!(chosen, BTreeMap::from([(1, vec![0, 1, 2])]));
}

#[test]
fn a_stack_that_prunes_computes_what_its_description_says() {
    let cases: [(&[(u64, u64)], Condition); 6] = [
        (&[], Condition::Nothing),
        (&[(0, 4), (1, 2), (3, 5)], Condition::Nothing),
        (&[(0, 4), (1, 2), (3, 5)], Condition::Text),
        // All of them, with their probabilities, and none of them.
        (&[(2, PATCHES as u64)], Condition::Text),
        (&[(1, 0), (2, 1)], Condition::Text),
        (&[(1, 0)], Condition::Nothing),
    ];
    for (kept, condition) in cases {
        let dir = tempfile::tempdir().unwrap();
        let weights = weights(dir.path(), |_, _| true);
        let kept: BTreeMap<u64, u64> = kept.iter().copied().collect();
        let (got, chosen) = run(&weights, dir.path(), kept.clone(), condition);
        let (want, wanted_choice) = described(&weights, &kept, condition);
        assert_eq!(chosen, wanted_choice, "{kept:?} {condition:?}");
        let want: Vec<f64> = want.concat();
        let worst = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(got.len() == want.len() && worst < 1e-5, "{kept:?} {condition:?}: {worst}");
    }
}

fn session(graph: Graph<'_>, dir: &Path) -> Session {
    let name = graph.save(dir, &mut |_| {}).unwrap().graph.file;
    Session::builder(runtime()).unwrap().commit_from_file(dir.join(name)).unwrap()
}

/// One per process.
fn runtime() -> &'static Environment {
    static RUNTIME: std::sync::OnceLock<Environment> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| {
        let library = std::env::var("ORT_DYLIB_PATH").unwrap();
        ort::init_from(&library).unwrap().with_telemetry(false).build().unwrap()
    })
}

/// The stack's output, and the patches that each layer kept.
fn run(
    weights: &Weights,
    dir: &Path,
    kept: BTreeMap<u64, u64>,
    condition: Condition,
) -> (Vec<f32>, BTreeMap<u64, Vec<i64>>) {
    let routing = Routing { patches: PATCHES as u64, kept, condition, tail: TAIL as u64 };
    let mut graph = Graph::new("stack");
    let dims = [fixed(1), symbol("tokens"), fixed(WIDTH as u64)];
    let embeds = graph.input("embeds", Dtype::Fp32, &dims).unwrap();
    let positions = graph.input("positions", Dtype::Int64, &dims[..2]).unwrap();
    let routed = routed_llama(&mut graph.root(), &weights.at(""), [&embeds, &positions], (&CONFIG, &routing)).unwrap();
    graph.output("hidden", &routed.hidden).unwrap();
    for (layer, kept) in &routed.kept {
        graph.output(&format!("kept{layer}"), kept).unwrap();
    }
    let mut session = session(graph, dir);
    let values = embeddings().concat().into_iter().map(|value| value as f32).collect::<Vec<_>>();
    let embeds = Tensor::from_array(([1, TOKENS as i64, WIDTH as i64], values)).unwrap();
    let positions = Tensor::from_array(([1, TOKENS as i64], (0..TOKENS as i64).collect::<Vec<_>>())).unwrap();
    let made = session.run(vec![("embeds", embeds.into_dyn()), ("positions", positions.into_dyn())]).unwrap();
    let hidden = made["hidden"].try_extract_tensor::<f32>().unwrap().1.to_vec();
    let chosen = routing.kept.keys().map(|layer| {
        let rows = made[format!("kept{layer}").as_str()].try_extract_tensor::<i64>().unwrap().1;
        (*layer, rows.to_vec())
    });
    (hidden, chosen.collect())
}

/// Numbers that repeat after more terms than a test has.
fn number(seed: usize) -> f64 {
    let phase = (seed as f64 * 0.754_877_666 + 0.1).fract();
    // Representable in bf16, so that file and description agree.
    f64::from(half::bf16::from_f64(2.0 * phase - 1.0).to_f32())
}

fn embeddings() -> Rows {
    (0..TOKENS).map(|row| (0..WIDTH).map(|column| number(1000 + row * WIDTH + column)).collect()).collect()
}

/// A checkpoint with every tensor that the stack may read; those that `filled` does not want are zero.
fn weights(dir: &Path, filled: impl Fn(&str, &[usize]) -> bool) -> Weights {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![("norm.weight".to_owned(), vec![WIDTH])];
    for layer in 0..4 {
        let mut add = |name: &str, shape: &[usize]| shapes.push((format!("layers.{layer}.{name}"), shape.to_vec()));
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}.weight"), &[WIDTH, WIDTH]);
        }
        add("mlp.gate_proj.weight", &[INNER, WIDTH]);
        add("mlp.up_proj.weight", &[INNER, WIDTH]);
        add("mlp.down_proj.weight", &[WIDTH, INNER]);
        add("input_layernorm.weight", &[WIDTH]);
        add("post_attention_layernorm.weight", &[WIDTH]);
        add("router.router.weight", &[2, WIDTH]);
        add("router.router.bias", &[2]);
        for name in ["scale", "shift"] {
            for (part, shape) in [("0", [WIDTH / 2, WIDTH]), ("2", [WIDTH, WIDTH / 2])] {
                add(&format!("router.{name}.{part}.weight"), &shape);
                add(&format!("router.{name}.{part}.bias"), &shape[..1]);
            }
        }
    }
    let (mut header, mut body, mut seed) = (serde_json::Map::new(), Vec::new(), 0);
    for (name, shape) in shapes {
        let begin = body.len();
        for _ in 0..shape.iter().product() {
            seed += 1;
            let value = if filled(&name, &shape) { number(seed) } else { 0.0 };
            body.extend_from_slice(&half::bf16::from_f64(value).to_le_bytes());
        }
        header.insert(name, json!({"dtype": "BF16", "shape": shape, "data_offsets": [begin, body.len()]}));
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_slice(), body.as_slice()].concat();
    std::fs::write(dir.join("model.safetensors"), file).unwrap();
    Weights::open_safetensors(dir).unwrap()
}

/// A matrix of the checkpoint, or a vector as its only row.
fn matrix(weights: &Weights, name: &str) -> Rows {
    let shape = weights.shape(name).unwrap().to_vec();
    let values = weights.read(name, &shape).unwrap().to_f32();
    values.chunks(*shape.last().unwrap() as usize).map(|row| row.iter().copied().map(f64::from).collect()).collect()
}

fn linear(weights: &Weights, name: &str, x: &[f64]) -> Vec<f64> {
    let product = matrix(weights, &format!("{name}.weight"));
    let bias = format!("{name}.bias");
    let bias = weights.shape(&bias).map_or(vec![0.0; product.len()], |_| matrix(weights, &bias).concat());
    product.iter().zip(bias).map(|(row, bias)| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>() + bias).collect()
}

fn rms_norm(weights: &Weights, name: &str, x: &[f64]) -> Vec<f64> {
    let scale = matrix(weights, &format!("{name}.weight")).concat();
    let mean = x.iter().map(|value| value * value).sum::<f64>() / x.len() as f64;
    x.iter().zip(scale).map(|(value, scale)| value / (mean + 1e-5).sqrt() * scale).collect()
}

/// `x / 2 * (1 + erf(x / sqrt 2))`; erf by its series, which suffices for what a test has.
fn gelu(x: f64) -> f64 {
    let z = x / 2.0_f64.sqrt();
    let (mut term, mut sum) = (z, z);
    for n in 1..60 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    x / 2.0 * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

/// The whole stack: what a layer keeps, what it does to that, and where it puts it.
fn described(weights: &Weights, kept: &BTreeMap<u64, u64>, condition: Condition) -> (Rows, BTreeMap<u64, Vec<i64>>) {
    let mut x = embeddings();
    let mut chosen = BTreeMap::new();
    for layer in 0..4_u64 {
        let name = format!("layers.{layer}");
        let normed: Rows = x.iter().map(|row| rms_norm(weights, &format!("{name}.input_layernorm"), row)).collect();
        let (rows, shares): (Vec<usize>, Vec<f64>) = match kept.get(&layer) {
            None => ((0..TOKENS).collect(), vec![1.0; TOKENS]),
            Some(count) => {
                let shares = probabilities(weights, &format!("{name}.router"), &normed, condition);
                let mut patches: Vec<usize> = (1..=PATCHES).collect();
                patches.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
                patches.truncate(*count as usize);
                patches.sort_unstable();
                chosen.insert(layer, patches.iter().map(|row| *row as i64 - 1).collect());
                ([0].into_iter().chain(patches).chain(1 + PATCHES..TOKENS).collect(), shares)
            }
        };
        let attended =
            attention(weights, &format!("{name}.self_attn"), &rows.iter().map(|row| normed[*row].clone()).collect());
        for (row, attended) in rows.iter().zip(attended) {
            let z: Vec<f64> = x[*row].iter().zip(attended).map(|(a, b)| a + b).collect();
            let y = rms_norm(weights, &format!("{name}.post_attention_layernorm"), &z);
            let gate = linear(weights, &format!("{name}.mlp.gate_proj"), &y);
            let up = linear(weights, &format!("{name}.mlp.up_proj"), &y);
            let inner: Vec<f64> = gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            let y = linear(weights, &format!("{name}.mlp.down_proj"), &inner);
            x[*row] = z.iter().zip(y).map(|(z, y)| z + shares[*row] * y).collect();
        }
    }
    (x.iter().map(|row| rms_norm(weights, "norm", row)).collect(), chosen)
}

fn probabilities(weights: &Weights, name: &str, normed: &Rows, condition: Condition) -> Vec<f64> {
    let text = &normed[1 + PATCHES..TOKENS - TAIL];
    let mean: Vec<f64> =
        (0..WIDTH).map(|column| text.iter().map(|row| row[column]).sum::<f64>() / text.len() as f64).collect();
    let film = |part: &str| {
        let inner: Vec<f64> = linear(weights, &format!("{name}.{part}.0"), &mean).into_iter().map(gelu).collect();
        linear(weights, &format!("{name}.{part}.2"), &inner)
    };
    let (scale, shift) = (film("scale"), film("shift"));
    let judged = normed.iter().enumerate().map(|(row, x)| {
        if condition == Condition::Nothing || !(1..=PATCHES).contains(&row) {
            return x.clone();
        }
        x.iter().zip(scale.iter().zip(&shift)).map(|(x, (scale, shift))| x * (1.0 + scale) + shift).collect()
    });
    let logits = judged.map(|row: Vec<f64>| linear(weights, &format!("{name}.router"), &row));
    logits.map(|both| 1.0 / (1.0 + (both[0] - both[1]).exp())).collect()
}

/// Positions count the rows that are there; a row sees what is before it, one of the tail sees all.
fn attention(weights: &Weights, name: &str, x: &Rows) -> Rows {
    let half = WIDTH / HEADS / 2;
    let turned = |name: &str| -> Rows {
        let turn = |(position, row): (usize, Vec<f64>)| {
            let mut turned = row.clone();
            for head in 0..HEADS {
                for pair in 0..half {
                    let angle = position as f64 * 100.0_f64.powf(-(pair as f64) / half as f64);
                    let at = [head * 2 * half + pair, head * 2 * half + pair + half];
                    turned[at[0]] = row[at[0]] * angle.cos() - row[at[1]] * angle.sin();
                    turned[at[1]] = row[at[1]] * angle.cos() + row[at[0]] * angle.sin();
                }
            }
            turned
        };
        x.iter().map(|row| linear(weights, name, row)).enumerate().map(turn).collect()
    };
    let (q, k) = (turned(&format!("{name}.q_proj")), turned(&format!("{name}.k_proj")));
    let v: Rows = x.iter().map(|row| linear(weights, &format!("{name}.v_proj"), row)).collect();
    let mixed = (0..x.len()).map(|row| {
        let seen = if row + TAIL >= x.len() { x.len() } else { row + 1 };
        let mut mixed = vec![0.0; WIDTH];
        for head in 0..HEADS {
            let part = head * 2 * half..(head + 1) * 2 * half;
            let score = |key: usize| -> f64 {
                let product: f64 = q[row][part.clone()].iter().zip(&k[key][part.clone()]).map(|(a, b)| a * b).sum();
                (product / (2.0 * half as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let sum: f64 = scores.iter().sum();
            for column in part {
                mixed[column] = scores.iter().zip(&v).map(|(score, v)| score / sum * v[column]).sum();
            }
        }
        linear(weights, &format!("{name}.o_proj"), &mixed)
    });
    mixed.collect()
}
