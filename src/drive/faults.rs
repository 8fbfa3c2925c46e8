//! What goes wrong on a robot, judged by how an arm moves: the engine, the messages that the node would send, and the model
//! of the controller that plays them.

mod arm;
mod orders;
mod scenes;

use std::sync::Arc;

use arm::Arm;

use crate::deploy::samples::arm::at;
use crate::deploy::samples::arm_with;
use crate::deploy::{Deployment, ParamValue};
use crate::engine::{Effect, Engine, Event, RequestId, Verdict};
use crate::interlock::Input;
use crate::time::Span;
use crate::types::{Chunk, Encoding, Frame, Inferred, JointSample, Observation, Sample, Switch, Value};

/// What the arm's profile allows of each joint, written down a second time: smallest, largest, and per second, per second
/// squared and cubed.
const LIMITS: [[f64; 5]; 3] =
    [[-1.5, 2.0, 4.0, 40.0, 800.0], [-1.0, 1.0, 4.0, 40.0, 800.0], [0.01, 0.05, 1.6, 16.0, 320.0]];

/// Between two samples of a command, `control_rate_hz`.
const DT_S: f64 = 0.01;
/// Rows of a chunk that are executed, and how long one lasts.
const ROWS: usize = 4;
const ROW_MS: f64 = 50.0;
/// The rows that are executed of a chunk; an older observation is not acted on.
const CHUNK_MS: f64 = ROWS as f64 * ROW_MS;
/// No command reaches farther beyond the moment at which its chunk was decided on: the executed rows, the longest stop by
/// the profile's limits (4 / 40 + 2 x 40 / 800 s), two samples, and a tick where the clock steps.
const LONGEST_COMMAND_MS: f64 = CHUNK_MS + 200.0 + 20.0 + 5.0;
/// Oldest joints of the profile.
const JOINTS_MS: f64 = 50.0;
/// So often the node looks at the time.
const TICK_MS: u32 = 5;
/// Longest silence of e-stop and deadman.
const SILENCE_MS: f64 = 100.0;

/// How the inputs come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Joints {
    Come,
    Stop,
    /// Without the elbow.
    Partial,
    /// Far from where the arm is.
    Jump,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Camera {
    Comes,
    Stops,
    /// The same picture with the same stamp.
    Repeats,
    /// Of another width.
    Resizes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    Answers,
    Stalls,
    YieldsNan,
}

/// The arm allowed to move, with an e-stop and a deadman, 20 inferences per second.
fn deployment() -> Deployment {
    let text = |text: &str| ParamValue::String(text.to_owned());
    arm_with(&[
        ("dry_run", ParamValue::Bool(false)),
        ("inference_rate_hz", ParamValue::Double(20.0)),
        ("n_action_steps", ParamValue::Int(ROWS as i64)),
        ("estop", text("/estop")),
        ("estop_timeout_ms", ParamValue::Double(SILENCE_MS)),
        ("deadman", text("/joy")),
        ("deadman_button", ParamValue::Int(0)),
        ("deadman_timeout_ms", ParamValue::Double(SILENCE_MS)),
    ])
}

/// A robot at work, ms by ms.
struct Scene {
    engine: Engine,
    arm: Arm,
    /// Time that has passed.
    ms: u32,
    /// What the clock shows beyond that.
    clock_ms: f64,
    joints: Joints,
    camera: Camera,
    model: Model,
    estop: Option<bool>,
    deadman: Option<bool>,
    /// Whether there is still a node.
    lives: bool,
    asked: Option<(u32, RequestId, Observation)>,
    last_picture: f64,
    /// When a chunk was sent last.
    last_sent: u32,
}

/// An inference takes so long.
const INFERENCE_MS: u32 = 30;

impl Scene {
    fn new() -> Self {
        Self {
            engine: Engine::activated(&deployment()),
            arm: Arm::new(),
            ms: 0,
            clock_ms: 0.0,
            joints: Joints::Come,
            camera: Camera::Comes,
            model: Model::Answers,
            estop: Some(false),
            deadman: Some(true),
            lives: true,
            asked: None,
            last_picture: 0.0,
            last_sent: 0,
        }
    }

    /// A robot that is in full swing: the shoulder swings, and both joints and the gripper move.
    fn in_motion() -> Self {
        let mut scene = Self::new();
        scene.run(2600);
        let speeds = scene.arm.speeds();
        assert!(speeds[0] > 0.5 && speeds[1] > 0.02, "it moves at {speeds:?}");
        scene
    }

    fn run(&mut self, length_ms: u32) {
        for _ in 0..length_ms {
            self.ms += 1;
            self.arm.step(at(f64::from(self.ms)));
            if self.lives {
                self.inputs();
                self.answer();
                if self.ms.is_multiple_of(TICK_MS) {
                    self.give(Event::Tick);
                }
            }
        }
    }

    fn now(&self) -> f64 {
        f64::from(self.ms) + self.clock_ms
    }

    fn inputs(&mut self) {
        let now = self.now();
        if self.ms % 20 == 3 {
            for (switch, on) in [(Switch::EStop(0), self.estop), (Switch::Deadman, self.deadman)] {
                if let Some(on) = on {
                    self.sample(now, Value::Switch { switch, on });
                }
            }
        }
        if self.ms % 10 == 1 {
            self.measure(now);
        }
        if self.ms % 33 == 7 {
            self.look(now);
        }
    }

    fn measure(&mut self, now: f64) {
        let is = self.arm.positions();
        let mut joints = vec![("j1", is[0]), ("j2", is[1]), ("finger", is[2])];
        match self.joints {
            Joints::Come => {}
            Joints::Stop => return,
            Joints::Partial => joints.retain(|(name, _)| *name != "j2"),
            Joints::Jump => joints[0].1 += 0.5,
        }
        for (name, position) in &joints {
            let place = ["j1", "j2", "finger"].iter().position(|known| known == name).unwrap();
            self.arm.said[place] = *position;
        }
        let (names, positions) = joints.into_iter().map(|(name, position)| (name.to_owned(), position)).unzip();
        self.sample(now, Value::Joints(JointSample { names, positions }));
    }

    fn look(&mut self, now: f64) {
        let mut width = 2;
        match self.camera {
            Camera::Comes => self.last_picture = now,
            Camera::Stops => return,
            Camera::Repeats => {}
            Camera::Resizes => {
                width = 3;
                self.last_picture = now;
            }
        }
        // No two pictures are alike.
        let data: Arc<[u8]> = (self.last_picture as u64).to_le_bytes().into();
        let frame = Frame { frame_id: "eye".to_owned(), encoding: Encoding::Jpeg, width, height: 2, step: 0, data };
        let received = at(now);
        let value = Value::Frame { camera: 0, frame: Arc::new(frame) };
        self.give(Event::Sample(Sample { stamp: at(self.last_picture), received, value }));
    }

    fn sample(&mut self, now: f64, value: Value) {
        self.give(Event::Sample(Sample { stamp: at(now), received: at(now), value }));
    }

    fn answer(&mut self) {
        let due = |(asked, ..): &mut (u32, RequestId, Observation)| *asked + INFERENCE_MS <= self.ms;
        if self.model == Model::Stalls {
            return;
        }
        let Some((_, request, observation)) = self.asked.take_if(due) else { return };
        let mut rows = swing(&observation.state.unwrap_or_default(), f64::from(self.ms) / 1e3);
        if self.model == Model::YieldsNan {
            rows[4] = f64::NAN;
        }
        let chunk = Chunk::new(rows, 3).unwrap();
        let inferred = Inferred { chunk, kept_tokens: 0, inference_delay: Span::from_millis(f64::from(INFERENCE_MS)) };
        self.give(Event::Inferred { request, result: Ok(inferred) });
    }

    fn give(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.engine.handle(at(self.now()), event, &mut effects);
        self.follow(effects);
    }

    fn interlock(&mut self, input: Input) {
        let mut effects = Vec::new();
        // A refused start changes nothing, and the arm tells.
        let _ = self.engine.interlock(at(self.now()), input, &mut effects);
        self.follow(effects);
    }

    fn follow(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Infer { request, observation } => self.asked = Some((self.ms, request, observation)),
                // The robot reads a stamp as a distance from now: its clock is its own.
                Effect::Command(command) => {
                    let (now, ahead) = (at(f64::from(self.ms)), Span::from_millis(self.clock_ms));
                    let end = self.arm.take(&command, now, ahead).since(at(0.0)).millis();
                    let latest = f64::from(self.last_sent) + LONGEST_COMMAND_MS;
                    assert!(end <= latest, "a command reaches to {end} ms, the last chunk lets it to {latest}");
                }
                Effect::Decided(decision) => {
                    if decision.verdict == Verdict::Sent {
                        let age = at(self.now()).since(decision.stamp).millis();
                        assert!(age <= CHUNK_MS, "a chunk of {age} ms ago is sent");
                        self.last_sent = self.ms;
                    }
                }
                Effect::Report(_) => {}
            }
        }
    }
}

/// The rows of a chunk, in the policy's units: from where the arm is seen, as far as a swing goes from `secs` on.
fn swing(state: &[f64], secs: f64) -> Vec<f64> {
    let at = |t: f64| [40.0 * (1.2 * t).sin(), 0.2 * (0.9 * t).sin(), 0.2 * (1.1 * t).sin()];
    let from = at(secs);
    let row = |row: usize| {
        let to = at(secs + row as f64 * ROW_MS / 1e3);
        [0, 1, 2].map(|place| state[place] + to[place] - from[place])
    };
    (0..4).flat_map(row).collect()
}
