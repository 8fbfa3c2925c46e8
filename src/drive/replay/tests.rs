//! Bags made here, a policy whose answers and stage times are known.

mod bad_input;
mod eef;
mod written;

use std::path::PathBuf;

use super::*;
use crate::bag::BagWriter;
use crate::deploy::ParamValue;
use crate::deploy::samples::arm::at;
use crate::deploy::samples::{ARM_IO, ARM_PROFILE, arm_with, bundle, live_arm, parameters, profile};
use crate::msg::{
    ActionChunk, CompressedImage, Header, Image, JointState, JointTrajectory, JointTrajectoryPoint, StringMessage,
};
use crate::types::Chunk;

/// The arm at rest: shoulder 0 deg, elbow 0.1 rad, gripper half open.
const REST: [f64; 3] = [0.25, 0.1, 0.03];

struct Made {
    _folder: tempfile::TempDir,
    path: PathBuf,
    bag: BagWriter,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.mcap");
        let bag = BagWriter::create(&path).unwrap();
        Self { _folder: folder, path, bag }
    }

    /// A picture taken at `ms`, like no other, that arrives 10 ms later.
    fn frame(mut self, ms: f64) -> Self {
        let header = Header::new(at(ms), "front_optical");
        let (height, width, step, encoding) = (1, 2, 6, "rgb8".to_owned());
        let data = [&[9, 8, 7, 6][..], &((ms / 10.0) as u16).to_be_bytes()].concat();
        let image = Image { header, height, width, encoding, is_bigendian: 0, step, data: &data };
        self.bag.write("/images/front", at(ms + 10.0), &image).unwrap();
        self
    }

    fn joints(mut self, ms: f64) -> Self {
        let name = ["finger", "j2", "j1"].map(str::to_owned).to_vec();
        let position = vec![REST[2], REST[1], REST[0]];
        let header = Header::new(at(ms), "");
        let joints = JointState { header, name, position, ..JointState::default() };
        self.bag.write("/joint_states", at(ms), &joints).unwrap();
        self
    }

    fn also(mut self, write: impl FnOnce(&mut BagWriter)) -> Self {
        write(&mut self.bag);
        self
    }

    fn run(self, deployment: &Deployment, answer: &mut dyn Answer) -> Result<Run, ReplayError> {
        self.bag.finish().unwrap();
        let bag = BagReader::open(&self.path).unwrap();
        Prepared::new(&bag, deployment, &names(&[]))?.run(answer)
    }
}

fn names(remaps: &[&str]) -> RosArgs {
    let remaps = remaps.iter().flat_map(|remap| ["-r", remap]);
    let args = ["--ros-args"].into_iter().chain(remaps).map(str::to_owned);
    RosArgs::parse(args, "vla_node").unwrap()
}

/// Small steps from rest; the n-th answer keeps 10 + n tokens and takes n ms for `body`.
#[derive(Default)]
struct Scripted {
    calls: u32,
    fails: bool,
}

impl Answer for Scripted {
    fn answer(&mut self, observation: &Observation) -> Result<Answered, String> {
        assert_eq!(observation.frames[0].data[..4], [9, 8, 7, 6]);
        self.calls += 1;
        if self.fails {
            return Err(format!("no answer {}", self.calls));
        }
        let rows = [[1.0, 0.15, 0.5], [2.0, 0.2, 0.6], [3.0, 0.25, 0.7], [4.0, 0.3, 0.8]];
        let stages =
            vec![("body".to_owned(), Span::from_millis(f64::from(self.calls))), ("head".to_owned(), Span::ZERO)];
        Ok(Answered { chunk: Chunk::new(rows.concat(), 3).unwrap(), kept_tokens: 10 + self.calls, stages })
    }
}

/// Three observations at the rate of the deployment (5 Hz) and two frames that come too early for it.
fn three_observations() -> Made {
    [0.0, 80.0, 200.0, 280.0, 400.0].into_iter().fold(Made::new(), |made, ms| made.joints(ms).frame(ms))
}

fn times(run: &Run) -> Vec<[f64; 2]> {
    let ms = |stamp: Stamp| stamp.since(at(0.0)).millis();
    run.steps.iter().map(|step| [ms(step.decision.stamp), ms(step.at)]).collect()
}

#[test]
fn an_inference_starts_on_a_new_frame_at_the_rate_and_takes_no_time_unless_it_is_said() {
    let run = three_observations().run(&live_arm(), &mut Scripted::default()).unwrap();
    assert_eq!(times(&run), [[0.0, 10.0], [200.0, 210.0], [400.0, 410.0]]);
}

#[test]
fn an_inference_that_is_due_between_messages_starts_then_with_the_frame_at_hand() {
    let made = Made::new().joints(0.0).frame(0.0).frame(170.0).joints(200.0).frame(220.0).joints(230.0);
    let run = made.run(&live_arm(), &mut Scripted::default()).unwrap();
    // The rate allows the second one 200 ms after the first, which began at 10 ms.
    assert_eq!(times(&run), [[0.0, 10.0], [170.0, 210.0]]);
}

#[test]
fn a_pause_of_a_year_in_a_bag_takes_no_time() {
    let year = 365.0 * 86_400e3;
    let made = Made::new().joints(0.0).frame(0.0).joints(year).frame(year);
    let run = made.run(&live_arm(), &mut Scripted::default()).unwrap();
    assert_eq!(times(&run), [[0.0, 10.0], [year, year + 10.0]]);
}

#[test]
fn the_assumed_latency_delays_every_decision() {
    let more = [("assumed_latency_ms", ParamValue::Int(30)), ("task", ParamValue::String("go".to_owned()))];
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(ARM_PROFILE), parameters(&more)).unwrap();
    let run = three_observations().run(&deployment, &mut Scripted::default()).unwrap();
    assert_eq!(times(&run), [[0.0, 40.0], [200.0, 240.0], [400.0, 440.0]]);
    assert!(run.steps.iter().all(|step| step.decision.inference_delay == Span::from_millis(30.0)));
}

#[test]
fn a_recorded_inference_takes_as_long_as_it_took_and_the_model_is_busy_meanwhile() {
    let header = Header::new(at(0.0), "");
    let slow = ActionChunk { header, inference_delay: Span::from_millis(260.0).into(), ..ActionChunk::default() };
    let made = three_observations().also(|bag| bag.write("/vla_node/action_chunk", at(270.0), &slow).unwrap());
    let run = made.run(&live_arm(), &mut Scripted::default()).unwrap();
    // Started at 10 ms; the frame of 200 ms finds the model busy, and joints that have to come anew at 280 ms.
    assert_eq!(times(&run)[..2], [[0.0, 270.0], [200.0, 280.0]]);
}

#[test]
fn pictures_are_taken_compressed_where_the_bag_has_them_so() {
    let header = Header::new(at(0.0), "front_optical");
    let image = CompressedImage { header, format: "jpeg".to_owned(), data: &[9, 8, 7, 6, 5, 4] };
    let made = Made::new().joints(0.0);
    let made = made.also(|bag| bag.write("/images/front/compressed", at(5.0), &image).unwrap());
    assert_eq!(times(&made.run(&live_arm(), &mut Scripted::default()).unwrap()), [[0.0, 5.0]]);
}

#[test]
fn topics_are_remapped_as_the_nodes_are() {
    let made = three_observations();
    made.bag.finish().unwrap();
    let bag = BagReader::open(&made.path).unwrap();
    let remapped = names(&["joint_states:=/arm/joints"]);
    let error = Prepared::new(&bag, &live_arm(), &remapped).err().unwrap().to_string();
    assert!(error.starts_with("bag lacks `/arm/joints` (joint states); it has "), "{error}");
}

#[test]
fn the_report_tells_decisions_causes_differences_and_costs() {
    let point = JointTrajectoryPoint { positions: vec![0.25, 0.5], ..JointTrajectoryPoint::default() };
    let mut later = point.clone();
    later.time_from_start = Span::from_millis(400.0).into();
    let joint_names = ["j2", "j9"].map(str::to_owned).to_vec();
    let told = JointTrajectory { header: Header::new(at(0.0), ""), joint_names, points: vec![point, later] };
    let made =
        three_observations().also(|bag| bag.write("/vla_node/joint_trajectory", at(1.0), &told).unwrap()).also(|bag| {
            let broken = JointState { name: vec!["j1".into()], ..JointState::default() };
            bag.write("/joint_states", at(15.0), &broken).unwrap();
        });
    let run = made.run(&live_arm(), &mut Scripted::default()).unwrap();
    // Elbow: 0.15, 0.2, 0.25 against 0.25, three times; of the last only the first row is still told.
    assert_eq!(
        report(&live_arm(), &run),
        "\
decisions         3  in 0.410 s
sent              3
dry_run           0
rejected          0
not ready         1  images.front: nothing usable yet
not ready         2  joint_states.j1: 55.000 ms old, at most 50.000 ms
not ready         2  images.front: 105.000 ms old, at most 100.000 ms
unusable          1  joint state has 1 names and 0 positions
kept tokens  min 11, median 12, max 13

difference to recorded commands        values         mean          max
j2 [rad]                                    7     0.057143     0.100000

stage, ms on this machine       runs       p50       p95       p99       max
body                               3     2.000     3.000     3.000     3.000
head                               3     0.000     0.000     0.000     0.000
total                              3     2.000     3.000     3.000     3.000
"
    );
}

#[test]
fn recorded_chunks_are_compared_by_action_name() {
    let recorded = ActionChunk {
        header: Header::new(at(200.0), ""),
        names: ["other", "elbow"].map(str::to_owned).to_vec(),
        chunk_size: 2,
        actions: vec![9.0, 0.25, 9.0, 0.25],
        ..ActionChunk::default()
    };
    let made = three_observations().also(|bag| bag.write("/vla_node/action_chunk", at(210.0), &recorded).unwrap());
    let run = made.run(&live_arm(), &mut Scripted::default()).unwrap();
    let text = report(&live_arm(), &run);
    // 0.15 and 0.2 against 0.25, of one observation of three.
    let want = "difference to recorded chunks          values         mean          max\n\
                elbow [rad]                                 2     0.075000     0.100000\n";
    assert!(text.contains(want), "{text}");
}

#[test]
fn a_failed_inference_is_counted_and_the_next_frame_gets_a_new_one() {
    let mut answer = Scripted { fails: true, ..Scripted::default() };
    let run = three_observations().run(&live_arm(), &mut answer).unwrap();
    assert_eq!((answer.calls, run.steps.len()), (3, 0));
    let text = report(&live_arm(), &run);
    assert!(text.contains("failed            3  no answer 1\n"), "{text}");
}
