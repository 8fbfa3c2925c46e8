//! Everything between camera messages and a trajectory that is not the model: two 640 x 480 cameras, rgb8 and JPEG, as
//! cameras and `image_transport` write it (baseline, 4:2:0) and progressive.
//!
//!     cargo bench --bench around_the_model
//!
//! Per part and round: camera messages to frames, pictures and state and text to tensors, the network's output to
//! actions, samples through the engine to a decision, the decision to bytes. The sum is taken round by round.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mozjpeg::{ColorSpace, Compress};
use serde_json::{Value as Json, json};
use vla_bundle::{Bundle, Integrity, IoFile};
use vla_runtime::deploy::{Deployment, ParamValue, RunParameters};
use vla_runtime::drive::chunk_messages::{ChunkMessages, Source};
use vla_runtime::drive::commands::trajectory;
use vla_runtime::engine::{Decision, Effect, Engine, Event};
use vla_runtime::msg::{CompressedImage, Header, Image, from_cdr, to_cdr};
use vla_runtime::postprocess::Postprocessor;
use vla_runtime::preprocess::Preprocessor;
use vla_runtime::profile::Profile;
use vla_runtime::safety::SafeCommand;
use vla_runtime::time::{Span, Stamp};
use vla_runtime::types::{Chunk, Frame, Inferred, JointSample, Robot, Sample, Value};

const ROUNDS: usize = 300;
/// Rounds that only warm up.
const WARM_UP: usize = 10;
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const JPEG_QUALITY: f32 = 90.0;
const PARTS: [&str; 6] =
    ["messages to frames", "preprocess", "postprocess", "engine and gate", "decision to bytes", "sum"];
/// Where the arm is and stays: within its limits.
const POSITIONS: [f64; 7] = [0.1, 0.6, 1.4, 0.02, 1.0, 0.2, 0.03];

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    println!("two {WIDTH} x {HEIGHT} cameras, {ROUNDS} rounds; ms: median, p95, max");
    let kinds = [
        ("raw", "raw", raw_messages()),
        ("JPEG", "compressed", jpeg_messages(Compress::set_fastest_defaults)?),
        ("JPEG, progressive", "compressed", jpeg_messages(Compress::set_progressive_mode)?),
    ];
    for (name, transport, cameras) in kinds {
        let mut seconds = measure(transport, &cameras)?;
        println!("{name}");
        for (part, name) in PARTS.iter().enumerate() {
            let mut values: Vec<f64> = seconds.iter_mut().map(|round| round[part] * 1e3).collect();
            values.sort_by(f64::total_cmp);
            let at = |share: f64| values[((values.len() as f64 * share).ceil() as usize).max(1) - 1];
            println!("  {name:<20} {:>8.3} {:>8.3} {:>8.3}", at(0.5), at(0.95), at(1.0));
        }
    }
    Ok(())
}

/// Seconds per part, one row per round.
fn measure(transport: &str, cameras: &[Vec<u8>; 2]) -> Result<Vec<[f64; 6]>, Error> {
    let scratch = tempfile::tempdir()?;
    let bundle = bundle(scratch.path())?;
    let deployment = deployment(&bundle, transport)?;
    let postprocessor = Postprocessor::new(&bundle.manifest().actions, POSITIONS.len());
    let mut preprocessor = Preprocessor::new(&bundle)?;
    let mut engine = Engine::activated(&deployment);
    let messages = ChunkMessages::new(&deployment, Source::Live);
    let normalized: Vec<f32> = POSITIONS.iter().map(|value| *value as f32).collect::<Vec<_>>().repeat(8);
    let mut seconds = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let now = Stamp::from_ros(1_700_000_000, 0) + Span::from_millis(500.0 * round as f64);
        let mut clock = Clock { last: instant(), parts: [0.0; 6], at: 0 };
        let frames = cameras.iter().map(|bytes| frame(transport, bytes)).collect::<Result<Vec<_>, _>>()?;
        clock.lap();
        let tensors = preprocessor.run(&frames, Some(&POSITIONS), "pick up the block")?;
        clock.lap();
        let chunk = postprocessor.apply(&normalized, None)?;
        clock.lap();
        let decided = decide(&mut engine, now, frames, chunk)?;
        clock.lap();
        let bytes = encode(&messages, &decided);
        clock.lap();
        assert!(tensors.len() == 3 && bytes > 500, "a round does the whole work");
        if round >= WARM_UP {
            seconds.push(clock.finish());
        }
    }
    Ok(seconds)
}

/// Seconds of the parts of one round.
struct Clock {
    last: Instant,
    parts: [f64; 6],
    at: usize,
}

impl Clock {
    fn lap(&mut self) {
        let now = instant();
        self.parts[self.at] = (now - self.last).as_secs_f64();
        (self.last, self.at) = (now, self.at + 1);
    }

    fn finish(mut self) -> [f64; 6] {
        self.parts[5] = self.parts[..5].iter().sum();
        self.parts
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn instant() -> Instant {
    Instant::now()
}

fn frame(transport: &str, bytes: &[u8]) -> Result<Arc<Frame>, Error> {
    let frame = match transport {
        "raw" => from_cdr::<Image>(bytes)?.to_frame()?,
        _ => from_cdr::<CompressedImage>(bytes)?.to_frame()?,
    };
    Ok(Arc::new(frame))
}

/// Samples of one observation through the engine, and the answer through the gate.
fn decide(
    engine: &mut Engine,
    now: Stamp,
    frames: Vec<Arc<Frame>>,
    chunk: Chunk<Robot>,
) -> Result<(Decision, Arc<SafeCommand>), Error> {
    let mut effects = Vec::new();
    let names = (1..=6).map(|joint| format!("joint_{joint}")).chain(["gripper".to_owned()]).collect();
    let joints = Value::Joints(JointSample { names, positions: POSITIONS.to_vec() });
    let frames = frames.into_iter().enumerate().map(|(camera, frame)| Value::Frame { camera, frame });
    for value in std::iter::once(joints).chain(frames) {
        engine.handle(now, Event::Sample(Sample { stamp: now, received: now, value }), &mut effects);
    }
    let [Effect::Infer { request, .. }] = effects[..] else { return Err(format!("no inference: {effects:?}").into()) };
    effects.clear();
    let inferred = Inferred { chunk, kept_tokens: 0, inference_delay: Span::from_millis(80.0) };
    engine.handle(now + Span::from_millis(80.0), Event::Inferred { request, result: Ok(inferred) }, &mut effects);
    let (command, decision) = (effects.pop(), effects.pop());
    match (decision, command) {
        (Some(Effect::Decided(decision)), Some(Effect::Command(command))) => Ok((decision, command)),
        other => Err(format!("nothing to send: {other:?}").into()),
    }
}

/// Bytes of the chunk and of the trajectory.
fn encode(messages: &ChunkMessages, decided: &(Decision, Arc<SafeCommand>)) -> usize {
    let (decision, command) = decided;
    to_cdr(&messages.message(decision)).len() + to_cdr(&trajectory(command, &command.outputs()[0])).len()
}

/// A picture with edges, slopes and noise.
fn pixels(camera: u32) -> Vec<u8> {
    let mut noise = 7 + camera;
    let mut pixels = Vec::with_capacity(3 * (WIDTH * HEIGHT) as usize);
    for (y, x) in (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (y, x))) {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let block = if (x / 40 + y / 30) % 2 == 0 { 60 } else { 0 };
        let value = |slope: u32| (slope + block + (noise >> 28)).min(255) as u8;
        pixels.extend([value(x / 4), value(y / 4), value((x + y) / 8)]);
    }
    pixels
}

fn raw_messages() -> [Vec<u8>; 2] {
    [0, 1].map(|camera| {
        let data = pixels(camera);
        let encoding = "rgb8".to_owned();
        let header = Header::default();
        to_cdr(&Image { header, height: HEIGHT, width: WIDTH, encoding, is_bigendian: 0, step: 3 * WIDTH, data: &data })
    })
}

fn jpeg_messages(mode: fn(&mut Compress)) -> Result<[Vec<u8>; 2], Error> {
    let message = |camera| -> Result<Vec<u8>, Error> {
        let mut encoder = Compress::new(ColorSpace::JCS_RGB);
        mode(&mut encoder);
        encoder.set_size(WIDTH as usize, HEIGHT as usize);
        encoder.set_quality(JPEG_QUALITY);
        let mut encoder = encoder.start_compress(Vec::new())?;
        encoder.write_scanlines(&pixels(camera))?;
        let data = encoder.finish()?;
        Ok(to_cdr(&CompressedImage { header: Header::default(), format: "jpeg".to_owned(), data: &data }))
    };
    Ok([message(0)?, message(1)?])
}

/// The small bundle with the arm's dimensions and the full way of a picture to 224 x 224.
fn bundle(dir: &Path) -> Result<Bundle, Error> {
    let tiny = Path::new("tests/data/bundles/tiny");
    for file in ["body.onnx", "text.onnx", "tokenizer.json"] {
        std::fs::copy(tiny.join(file), dir.join(file))?;
    }
    let mut manifest: Json = serde_json::from_slice(&std::fs::read(tiny.join("manifest.json"))?)?;
    let camera = |name: &str| json!({"name": name, "orientation": "as_trained"});
    let normalize = |mean: f64| json!([{"op": "normalize", "mean": [mean, 0.45, 0.4], "std": [0.23, 0.22, 0.225]}]);
    let stored = json!([
        {"op": "jpeg_roundtrip", "quality": 95, "subsampling": "4:2:0", "idct": "fast"},
        {"op": "resize", "height": 224, "width": 224, "kernel": "lanczos3_tf"},
    ]);
    manifest["streams"] = json!({"cameras": [camera("front"), camera("wrist")], "state": {"dim": 7}});
    manifest["inputs"][0]["source"]["steps"] = json!([
        {"op": "unless_size", "height": 224, "width": 224, "steps": stored},
        {"op": "center_crop", "area": 0.9},
        {"op": "resize", "height": 224, "width": 224, "kernel": "bicubic_pil"},
        {"op": "stack_channels", "branches": [normalize(0.48), normalize(0.5)]},
    ]);
    manifest["inputs"][1]["source"]["steps"] = json!([
        {"op": "normalize_range", "low": [-3, -3, -3, -3, -3, -3, 0], "high": [3, 3, 3, 3, 3, 3, 1], "eps": 1e-8},
        {"op": "clip", "low": -1.0, "high": 1.0},
    ]);
    manifest["graphs"]["body"]["inputs"][0]["dims"] = json!([2, 6, 224, 224]);
    manifest["graphs"]["body"]["inputs"][1]["dims"] = json!([1, 7]);
    manifest["graphs"]["body"]["outputs"][0]["dims"] = json!([8, 7]);
    manifest["actions"]["chunk_size"] = json!(8);
    manifest["actions"]["action_dim"] = json!(7);
    let bound = |value: f64| vec![value; 7];
    manifest["actions"]["unnormalize"] =
        json!({"kind": "quantile", "low": bound(-1.0), "high": bound(1.0), "eps": 0.0, "mask": vec![true; 7]});
    let io = IoFile::parse(&std::fs::read_to_string("calibration/io/arm6.yaml")?, "calibration/io/arm6.yaml")?;
    manifest["io"] = serde_json::to_value(io)?;
    std::fs::write(dir.join("manifest.json"), manifest.to_string())?;
    Ok(Bundle::load(dir, Integrity::Sizes)?)
}

/// The arm with a second camera, live.
fn deployment(bundle: &Bundle, transport: &str) -> Result<Deployment, Error> {
    let cameras = ["front", "wrist"]
        .map(|name| format!("- {{kind: camera, camera: {name}, transport: {transport}, max_age_ms: 200}}\n"))
        .concat();
    let text = std::fs::read_to_string("calibration/robots/arm6.yaml")?;
    let front = "- {kind: camera, camera: front, transport: compressed, max_age_ms: 200}\n";
    let profile = Profile::parse(&text.replace(front, &cameras), "calibration/robots/arm6.yaml")?;
    let parameters = [
        ("inference_rate_hz", ParamValue::Double(2.0)),
        ("n_action_steps", ParamValue::Int(8)),
        ("max_skew_ms", ParamValue::Double(100.0)),
        ("dry_run", ParamValue::Bool(false)),
        ("task", ParamValue::String("pick up the block".to_owned())),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value)).into();
    Ok(Deployment::check(bundle, &profile, RunParameters::parse(&parameters)?)?)
}
