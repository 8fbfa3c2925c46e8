//! Flights of an engine beside a recorder, and what its files say about them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::bag::BagReader;
use crate::deploy::samples::arm::at;
use crate::deploy::samples::arm_with;
use crate::deploy::{Deployment, ParamValue};
use crate::drive::answer::{Answer, Answered};
use crate::drive::replay::{Changes, Prepared, Run, action_chunks, chunks};
use crate::drive::ros::Original;
use crate::drive::ros_args::RosArgs;
use crate::engine::{Decision, Effect, Engine, Event};
use crate::msg::{Header, Image, JointState, StringMessage};
use crate::time::{Span, Stamp};
use crate::types::{Chunk, Inferred, Observation, Sample, Value};

/// A chunk from where the arm is seen, never the same twice.
struct Wander {
    /// The inference that yields NaN.
    fails: u64,
}

impl Answer for Wander {
    fn answer(&mut self, observation: &Observation) -> Result<Answered, String> {
        let crate::noise::Noise::Seeded { stream, .. } = observation.noise else { return Err("no seed".to_owned()) };
        let state = observation.state.clone().unwrap();
        let turn = 0.3 * (stream as f64).sin() + f64::from(observation.frames[0].data[0]) / 1e3;
        let row = |step: f64| [state[0] + step * turn, state[1] + 0.01 * step * turn, state[2]];
        let mut rows = [1.0, 2.0, 3.0, 4.0].map(row).concat();
        if stream == self.fails {
            rows[7] = f64::NAN;
        }
        Ok(Answered { chunk: Chunk::new(rows, 3).unwrap(), kept_tokens: stream as u32, stages: vec![] })
    }
}

/// What the node's thread does, on a time of its own.
struct Flight {
    deployment: Deployment,
    engine: Engine,
    recorder: FlightRecorder,
    policy: Wander,
    /// Whether it lets the recorder keep up: time passes faster here than anywhere.
    waits: bool,
    asked: Option<(f64, RequestId, Observation)>,
    told: Option<Arc<crate::safety::SafeCommand>>,
    decisions: Vec<(Stamp, String)>,
    commands: Vec<(Stamp, String)>,
}

/// So long an inference takes.
const DELAY_MS: f64 = 63.0;

fn names() -> RosArgs {
    RosArgs::parse(["--ros-args".to_owned()], "vla_node").unwrap()
}

impl Flight {
    fn new(folder: &Path, fails: u64) -> Self {
        let deployment = arm_with(&[
            ("dry_run", ParamValue::Bool(false)),
            ("inference_rate_hz", ParamValue::Double(20.0)),
            ("n_action_steps", ParamValue::Int(4)),
            ("noise_seed", ParamValue::Int(5)),
            ("flight_recorder", ParamValue::String(folder.to_str().unwrap().to_owned())),
            ("flight_recorder_s", ParamValue::Double(1.5)),
        ]);
        let recorder = FlightRecorder::start(&deployment, &names()).unwrap();
        let engine = Engine::activated(&deployment);
        let (decisions, commands) = (Vec::new(), Vec::new());
        let (policy, waits) = (Wander { fails }, true);
        Self { deployment, engine, recorder, policy, waits, asked: None, told: None, decisions, commands }
    }

    /// Flies from `from` to `to`, in ms.
    fn fly(&mut self, from: u32, to: u32) {
        for step in from / 5..to / 5 {
            let ms = f64::from(step * 5);
            // Off the beat, as on a robot.
            if step % 2 == 0 {
                self.joints(ms + 1.25);
            }
            if step % 7 == 0 {
                self.picture(ms + 2.5, (step % 251) as u8);
            }
            if let Some((_, request, observation)) = self.asked.take_if(|(asked, ..)| *asked + DELAY_MS <= ms) {
                let Answered { chunk, kept_tokens, .. } = self.policy.answer(&observation).unwrap();
                let inference_delay = Span::from_millis(DELAY_MS);
                let result = Ok(Inferred { chunk, kept_tokens, inference_delay });
                self.give(ms + 3.0, Event::Inferred { request, result });
            }
            self.give(ms + 4.0, Event::Tick);
            if step % 100 == 0 {
                self.recorder.state(at(ms + 4.0), || self.engine.state());
                while self.waits && !self.recorder.has_caught_up() {
                    std::thread::yield_now();
                }
            }
        }
    }

    /// The arm is where it was told to be.
    fn joints(&mut self, ms: f64) {
        let told = self.told.as_ref().and_then(|told| {
            let rows = told.outputs()[0].rows();
            rows.enumerate().take_while(|(row, _)| told.due(0, *row).is_some_and(|due| due <= at(ms))).last()
        });
        let position = told.map_or(vec![0.25, 0.1, 0.03], |(_, row)| row.to_vec());
        let name = ["j1", "j2", "finger"].map(str::to_owned).to_vec();
        let message = JointState { header: Header::new(at(ms), ""), name, position, ..JointState::default() };
        let value = Value::Joints(message.to_joints().unwrap());
        self.arrive(ms + 0.1, at(ms), value, Original::of(&"/joint_states".into(), &message));
    }

    fn picture(&mut self, ms: f64, first: u8) {
        let (height, width, step, encoding) = (1, 2, 6, "rgb8".to_owned());
        let data = &[first, 8, 7, 6, 5, 4];
        let message =
            Image { header: Header::new(at(ms), "eye"), height, width, encoding, is_bigendian: 0, step, data };
        let value = Value::Frame { camera: 0, frame: Arc::new(message.to_frame().unwrap()) };
        self.arrive(ms + 0.2, at(ms), value, Original::of(&"/images/front".into(), &message));
    }

    fn arrive(&mut self, ms: f64, stamp: Stamp, value: Value, original: Original) {
        // The engine gets to it a little later.
        let (received, now) = (at(ms), at(ms + 0.3));
        let sample = Sample { stamp, received, value };
        self.recorder.sample(now, &sample, Some(original));
        let mut effects = Vec::new();
        self.engine.handle(now, Event::Sample(sample), &mut effects);
        self.follow(now, effects);
    }

    fn give(&mut self, ms: f64, event: Event) {
        let mut effects = Vec::new();
        self.recorder.event(at(ms), &event);
        self.engine.handle(at(ms), event, &mut effects);
        self.follow(at(ms), effects);
    }

    fn follow(&mut self, now: Stamp, effects: Vec<Effect>) {
        for effect in effects {
            self.recorder.effect(now, &effect);
            match effect {
                Effect::Infer { request, observation } => {
                    self.asked = Some((now.since(at(0.0)).millis(), request, observation));
                }
                Effect::Decided(decision) => self.decisions.push((now, words(&decision))),
                Effect::Command(command) => {
                    self.commands.push((now, format!("{command:?}")));
                    self.told = Some(command);
                }
                Effect::Report(_) => {}
            }
        }
    }

    /// Ends the flight, and gives what the recorder did.
    fn land(self) -> (Deployment, Status, [Vec<(Stamp, String)>; 2]) {
        (self.deployment, self.recorder.finish().unwrap(), [self.decisions, self.commands])
    }
}

/// Every number of it; NaN included.
fn words(decision: &Decision) -> String {
    format!("{decision:?}")
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(file: &Path, deployment: &Deployment, fails: u64) -> (Run, Changes) {
    let bag = BagReader::open(file).unwrap();
    let run = Prepared::new(&bag, deployment, &names()).unwrap().run(&mut Wander { fails }).unwrap();
    let earlier = chunks(&bag, "/vla_node/action_chunk").unwrap();
    let changes = Changes::between(&earlier, &action_chunks(deployment, &run));
    (run, changes)
}

#[test]
fn a_file_that_begins_in_motion_replays_to_the_same_decisions_and_commands() {
    let folder = tempfile::tempdir().unwrap();
    let mut flight = Flight::new(folder.path(), 60);
    flight.fly(0, 6000);
    let (deployment, status, [decisions, commands]) = flight.land();
    assert_eq!((status.triggers, status.files, status.lost, status.failed), (1, 1, 0, 0), "{}", status.last);
    let [file] = &files(folder.path())[..] else { panic!("not one file") };
    assert!(file.to_str().unwrap().ends_with("-not_finite.mcap"), "{}", file.display());

    let (run, changes) = replay(file, &deployment, 60);
    assert!(changes.within(0.0), "{changes}");
    let steps: Vec<_> = run.steps.iter().map(|step| (step.at, words(&step.decision))).collect();
    let first = decisions.iter().position(|decision| *decision == steps[0]).unwrap();
    assert!(first > 5 && steps.len() > 10, "{first} before, {} in it", steps.len());
    assert_eq!(steps, decisions[first..first + steps.len()]);
    assert!(steps.iter().any(|(_, decision)| decision.contains("NotFinite")));
    let replayed: Vec<_> = run.commands.iter().map(|(at, command)| (*at, format!("{command:?}"))).collect();
    let first = commands.iter().position(|command| *command == replayed[0]).unwrap();
    assert!(first > 5 && replayed.len() > 20, "{first} before, {} in it", replayed.len());
    assert_eq!(replayed, commands[first..first + replayed.len()]);

    // Another policy decides otherwise, and that is told.
    let (_, changes) = replay(file, &deployment, 59);
    assert!(!changes.within(1e9), "{changes}");
}

#[test]
fn what_goes_wrong_several_times_in_a_row_makes_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut flight = Flight::new(folder.path(), 8);
    flight.fly(0, 700);
    for ms in [701.0, 702.0, 703.0] {
        flight.recorder.trigger(at(ms), Trigger::new("test", &"as asked"));
    }
    flight.fly(700, 3000);
    let (_, status, _) = flight.land();
    assert_eq!((status.triggers, status.files), (4, 1));
    // Nothing is left of a file that is being written.
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn a_later_mishap_gets_a_file_of_its_own_that_begins_where_the_first_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut flight = Flight::new(folder.path(), 1000);
    flight.recorder.trigger(at(0.0), Trigger::new("one", &"as asked"));
    flight.fly(0, 1400);
    flight.recorder.trigger(at(1401.0), Trigger::new("two", &"as asked"));
    flight.fly(1400, 4000);
    let (_, status, _) = flight.land();
    assert_eq!((status.triggers, status.files), (2, 2));
    let ends: Vec<[f64; 2]> = files(folder.path()).iter().map(|file| spans(file)).collect();
    // Written one second after the first trigger, and a ring's length after that.
    assert!((1000.0..1005.0).contains(&ends[0][1]) && (2500.0..2505.0).contains(&ends[1][1]), "{ends:?}");
    assert!(ends[1][0] <= ends[0][1], "{ends:?}");
}

/// First and last log time of a file, ms.
fn spans(file: &Path) -> [f64; 2] {
    let bag = BagReader::open(file).unwrap();
    let times: Vec<f64> = bag.messages().map(|message| message.unwrap().log_time.since(at(0.0)).millis()).collect();
    [times[0], times[times.len() - 1]]
}

#[test]
fn an_instruction_from_long_before_is_in_the_file_and_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut flight = Flight::new(folder.path(), 1000);
    let text = StringMessage { data: "stack the cups".to_owned() };
    let original = Original::of(&"/vla_node/instruction".into(), &text);
    flight.arrive(0.5, at(0.5), Value::Instruction("stack the cups".into()), original);
    flight.fly(5, 6000);
    flight.recorder.trigger(at(6001.0), Trigger::new("test", &"as asked"));
    let (deployment, ..) = flight.land();
    let file = &files(folder.path())[0];
    let bag = BagReader::open(file).unwrap();
    let first = bag.messages().next().unwrap().unwrap();
    assert_eq!(first.topic, "/vla_node/instruction");
    assert_eq!(first.decode::<StringMessage>().unwrap(), text);
    assert_eq!(first.publish_time, at(0.5));
    assert!(first.log_time > at(2300.0));
    let (run, changes) = replay(file, &deployment, 1000);
    assert!(changes.within(0.0) && run.steps.iter().all(|step| &*step.decision.task == "stack the cups"), "{changes}");
}

#[test]
fn a_folder_that_cannot_be_made_is_told_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let mut flight = Flight::new(&file.join("flights"), 10);
    flight.fly(0, 2500);
    let (_, status, [decisions, _]) = flight.land();
    assert_eq!((status.files, status.failed, status.lost), (0, 1, 0));
    assert!(status.last.contains("Not a directory"), "{}", status.last);
    assert!(decisions.len() > 30);
}

#[test]
fn a_full_disk_is_told_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("flight-1700000000.701-test.mcap.unfinished");
    std::os::unix::fs::symlink("/dev/full", &unfinished).unwrap();
    let mut flight = Flight::new(folder.path(), 1000);
    flight.fly(0, 700);
    flight.recorder.trigger(at(701.0), Trigger::new("test", &"as asked"));
    flight.fly(700, 2500);
    let (_, status, _) = flight.land();
    assert_eq!((status.files, status.failed, status.lost), (0, 1, 0));
    assert!(status.last.contains("No space left"), "{}", status.last);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_disk_that_hangs_costs_events_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("flight-1700000000.001-test.mcap.unfinished");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut flight = Flight::new(folder.path(), 1000);
    flight.recorder.trigger(at(1.0), Trigger::new("test", &"as asked"));
    flight.waits = false;
    // Whoever opens the pipe waits for a reader; more than the channel holds comes meanwhile.
    flight.fly(0, 12_000);
    let lost = flight.recorder.status().unwrap().lost;
    assert!(lost > 100, "{lost}");
    let reader = std::thread::spawn(move || std::fs::read(pipe));
    let (_, status, _) = flight.land();
    assert_eq!(status.files, 0);
    assert!(reader.join().unwrap().is_ok());
}
