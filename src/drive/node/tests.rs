//! The whole node in one process, with a transport and a policy that do as they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::deploy::ParamValue;
use crate::deploy::samples::{bundle, parameters, profile};
use crate::drive::answer::Answered;
use crate::drive::clock;
use crate::drive::control::Asking;
use crate::drive::ros::{GripperClient, Mismatch, Publish, PublishError, Session, Sink, Stamped, Text};
use crate::msg::Message;
use crate::profile::GripperAction;
use crate::time::{Span, Stamp};
use crate::types::{Arrives, Chunk, Encoding, Frame, JointSample, Observation, Optics, PoseSample, Transform};

mod control;

const PATIENCE: Duration = Duration::from_secs(10);

const IO: &str = "
rate_hz: 5
actions:
- {name: eef_x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: gripper, unit: normalized, kind: gripper, open: 1.0, closed: 0.0, threshold: 0.5}
";

const ROBOT: &str = "
format: 1
robot: box
inputs:
- {kind: camera, camera: front, transport: compressed, max_age_ms: 100}
outputs:
- kind: controller_input
  dims:
  - {action: gripper, open: -1.0, closed: 1.0, max_step: 2.0}
  - {action: eef_x, min: -0.9, max: 1.0, max_step: 0.5}
";

type Times = Arc<Mutex<Option<Sink<Stamp>>>>;
type Served = Arc<Mutex<Option<Parameters>>>;
type Control = Arc<Mutex<Option<Asking>>>;
type FlagSink = Arc<Mutex<Option<Sink<bool>>>>;
type FrameSink = Arc<Mutex<Option<Sink<Stamped<Frame>>>>>;

/// Hands every published message to the test as JSON, with the time it left.
struct Fake {
    camera: FrameSink,
    parameters: Served,
    times: Times,
    estop: FlagSink,
    control: Control,
    sent: Sender<(String, Stamp, Value)>,
    alive: Arc<AtomicBool>,
}

struct FakeSession(Arc<AtomicBool>);

struct FakePublisher(String, Sender<(String, Stamp, Value)>);

impl Session for FakeSession {
    fn mismatches(&self) -> Vec<Mismatch> {
        vec![Mismatch { topic: "/eye".to_owned(), reason: "a publisher who mumbles".to_owned() }]
    }

    fn is_alive(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<M: Serialize> Publish<M> for FakePublisher {
    fn publish(&self, message: M) -> Result<(), PublishError> {
        let json = serde_json::to_value(message).unwrap();
        self.1
            .send((self.0.clone(), clock::now(), json))
            .map_err(|_gone| PublishError { topic: self.0.clone(), reason: "nobody listens".to_owned() })
    }
}

impl Transport for Fake {
    type Session = FakeSession;

    fn subscribe_image(&mut self, topic: &str, _: Sink<Stamped<Frame>>) -> Result<(), TransportError> {
        panic!("{topic} is compressed")
    }

    fn subscribe_compressed_image(&mut self, topic: &str, sink: Sink<Stamped<Frame>>) -> Result<(), TransportError> {
        assert_eq!(topic, "/eye/compressed");
        *self.camera.lock().unwrap() = Some(sink);
        Ok(())
    }

    fn subscribe_camera_info(&mut self, topic: &str, _: Arrives, _: Sink<Optics>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_joints(&mut self, topic: &str, _: Sink<Stamped<JointSample>>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_pose(&mut self, topic: &str, _: Sink<Stamped<PoseSample>>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_transforms(&mut self, topic: &str, _: Sink<Vec<Transform>>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_fixed_transforms(&mut self, topic: &str, _: Sink<Vec<Transform>>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_array(&mut self, topic: &str, _: Sink<Vec<f64>>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_flag(&mut self, topic: &str, sink: Sink<bool>) -> Result<(), TransportError> {
        assert_eq!(topic, "/estop");
        *self.estop.lock().unwrap() = Some(sink);
        Ok(())
    }

    fn subscribe_beat(&mut self, topic: &str, _: Sink<bool>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_button(&mut self, topic: &str, _: usize, _: Sink<bool>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn subscribe_latched_flag(&mut self, topic: &str, _: Sink<bool>) -> Result<(), TransportError> {
        panic!("{topic} is not needed")
    }

    fn gripper(&mut self, action: &str, _: GripperAction) -> Result<GripperClient, TransportError> {
        panic!("{action} is not needed")
    }

    fn serve_control(&mut self, asking: Asking) -> Result<(), TransportError> {
        *self.control.lock().unwrap() = Some(asking);
        Ok(())
    }

    fn subscribe_text(&mut self, topic: &str, _: Sink<Text>) -> Result<(), TransportError> {
        assert!(topic.ends_with("/vla_node/instruction"), "{topic}");
        Ok(())
    }

    fn publisher<M: Message + Serialize + Send + 'static>(
        &mut self,
        topic: &str,
    ) -> Result<Box<dyn Publish<M>>, TransportError> {
        Ok(Box::new(FakePublisher(topic.to_owned(), self.sent.clone())))
    }

    fn subscribe_clock(&mut self, topic: &str, sink: Sink<Stamp>) -> Result<(), TransportError> {
        assert_eq!(topic, "/clock");
        *self.times.lock().unwrap() = Some(sink);
        Ok(())
    }

    fn serve_parameters(&mut self, parameters: Parameters) -> Result<(), TransportError> {
        *self.parameters.lock().unwrap() = Some(parameters);
        Ok(())
    }

    fn start(self) -> Result<FakeSession, TransportError> {
        Ok(FakeSession(self.alive))
    }
}

/// Answers once as scripted, then fails.
struct Scripted(Option<Vec<f64>>);

impl Answer for Scripted {
    fn answer(&mut self, observation: &Observation) -> Result<Answered, String> {
        assert_ne!(&*observation.task, "panic", "as asked");
        let rows = self.0.take().ok_or("out of script")?;
        let chunk = Chunk::new(rows, 2).unwrap();
        Ok(Answered { chunk, kept_tokens: 5, stages: vec![] })
    }
}

/// A running node and the ends that a test holds.
struct Started {
    camera: FrameSink,
    parameters: Served,
    times: Times,
    estop: FlagSink,
    control: Control,
    sent: Receiver<(String, Stamp, Value)>,
    alive: Arc<AtomicBool>,
    stop: crossbeam::channel::Sender<()>,
    thread: JoinHandle<Result<(), NodeError>>,
}

impl Started {
    fn new(task: &str, rows: [[f64; 2]; 4]) -> Self {
        Self::with(("task", ParamValue::String(task.to_owned())), rows)
    }

    /// On the time of a simulation.
    fn simulated(rows: [[f64; 2]; 4]) -> Self {
        let node = Self::with(("use_sim_time", ParamValue::Bool(true)), rows);
        node.show(Span::ZERO);
        node.set("task", ParamValue::String("go".to_owned()));
        node
    }

    fn with(more: (&str, ParamValue), rows: [[f64; 2]; 4]) -> Self {
        Self::with_all(&[more], rows)
    }

    fn with_all(more: &[(&str, ParamValue)], rows: [[f64; 2]; 4]) -> Self {
        let live = [&[("dry_run", ParamValue::Bool(false))], more].concat();
        let deployment = Deployment::check(&bundle(IO, &["front"]), &profile(ROBOT), parameters(&live)).unwrap();
        let args = ["--ros-args", "-r", "__ns:=/arm", "-r", "images/front/compressed:=/eye/compressed"];
        let names = RosArgs::parse(args.map(str::to_owned), DEFAULT_NAME).unwrap();
        let (sender, sent) = channel();
        let (stop, stopped) = crossbeam::channel::bounded(1);
        let (camera, alive) = (FrameSink::default(), Arc::new(AtomicBool::new(true)));
        let parameters = Served::default();
        let (eye, served) = (Arc::clone(&camera), Arc::clone(&parameters));
        let times = Times::default();
        let (ticking, alive_too) = (Arc::clone(&times), Arc::clone(&alive));
        let (estop, control) = (FlagSink::default(), Control::default());
        let transport = Fake {
            camera: eye,
            parameters: served,
            times: ticking,
            estop: Arc::clone(&estop),
            control: Arc::clone(&control),
            sent: sender,
            alive: alive_too,
        };
        let load = move || Ok(Scripted(Some(rows.concat())));
        let thread = std::thread::spawn(move || run(&deployment, load, &names, transport, &stopped));
        Self { camera, parameters, times, estop, control, sent, alive, stop, thread }
    }

    /// Shows a picture whose stamp is `ahead` of now, as soon as somebody looks.
    fn show(&self, ahead: Span) -> Stamp {
        self.show_at(clock::now() + ahead)
    }

    fn show_at(&self, stamp: Stamp) -> Stamp {
        for _ in 0..1000 {
            if let Some(sink) = &mut *self.camera.lock().unwrap() {
                let data = stamp.since(Stamp::default()).secs().to_be_bytes().as_slice().into();
                let frame_id = "optical".to_owned();
                let value = Frame { frame_id, encoding: Encoding::Jpeg, width: 0, height: 0, step: 0, data };
                sink(Ok(Stamped { stamp, value }));
                return stamp;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("nobody looks");
    }

    /// The simulation says what time it is.
    fn tick(&self, secs: f64) {
        let mut times = self.times.lock().unwrap();
        let set = times.as_mut().unwrap();
        set(Ok(Stamp::default() + Span::from_secs(secs)));
    }

    /// Rows that leave until the second report from now on.
    fn rows_in_a_second(&self) -> Vec<Value> {
        let sent = || std::iter::from_fn(|| self.sent.recv_timeout(PATIENCE).ok());
        let until_report = || sent().take_while(|(topic, ..)| topic != "/diagnostics");
        let rows = |_| until_report().filter(|(topic, ..)| topic == "/arm/vla_node/command");
        (0..2).flat_map(rows).map(|(_, _, message)| message["data"].clone()).collect()
    }

    fn set(&self, name: &str, value: ParamValue) {
        let mut parameters = self.parameters.lock().unwrap();
        parameters.as_mut().unwrap().set(&[(name.to_owned(), Some(value))]).unwrap();
    }

    fn next(&self, topic: &str) -> (Stamp, Value) {
        let end = clock::now() + Span::from_secs(PATIENCE.as_secs_f64());
        while clock::now() < end {
            let (on, at, message) = self.sent.recv_timeout(PATIENCE).unwrap();
            if on == topic {
                return (at, message);
            }
        }
        panic!("nothing on {topic}");
    }

    /// How the node ends without being asked to.
    fn ends(self) -> Result<(), NodeError> {
        let end = clock::now() + Span::from_secs(PATIENCE.as_secs_f64());
        while !self.thread.is_finished() {
            assert!(clock::now() < end, "the node goes on");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.thread.join().unwrap()
    }

    fn end(self) -> Result<(), NodeError> {
        // Full where the test has already asked.
        let _ = self.stop.try_send(());
        self.thread.join().unwrap()
    }
}

#[test]
fn rows_of_a_controller_input_leave_when_they_are_due() {
    let node = Started::new("go", [[0.25, 0.9], [-0.2, 0.1], [0.1, 0.8], [0.0, 0.0]]);
    let stamp = node.show(Span::from_millis(30.0));
    let (_, chunk) = node.next("/arm/vla_node/action_chunk");
    assert_eq!((&chunk["verdict"], &chunk["kept_tokens"], &chunk["task"]), (&json!("sent"), &json!(5), &json!("go")));
    let rows: Vec<(Stamp, Value)> = (0..3).map(|_| node.next("/arm/vla_node/command")).collect();
    let values: Vec<&Value> = rows.iter().map(|(_, row)| &row["data"]).collect();
    assert_eq!(values, [&json!([-1.0, 0.25]), &json!([1.0, -0.2]), &json!([-1.0, 0.1])]);
    for (index, (left, _)) in rows.iter().enumerate() {
        let late = left.since(stamp + Span::from_millis(200.0).times(index as i64));
        assert!(late >= Span::ZERO && late < Span::from_millis(200.0), "row {index} left {late} after it was due");
    }
    node.end().unwrap();
}

#[test]
fn after_a_parameter_has_switched_motion_off_the_robot_is_stopped_and_no_row_leaves() {
    let node = Started::new("go", [[0.25, 0.9], [-0.2, 0.1], [0.1, 0.8], [0.0, 0.0]]);
    node.show(Span::from_millis(30.0));
    node.next("/arm/vla_node/command");
    node.set("dry_run", ParamValue::Bool(true));
    assert_eq!(node.rows_in_a_second(), [stop_after_the_first_row()]);
    node.end().unwrap();
}

/// The message of one part of the next report.
fn told(node: &Started, part: &str) -> String {
    let (_, report) = node.next("/diagnostics");
    let name = format!("/arm/vla_node: {part}");
    let part = report["status"].as_array().unwrap().iter().find(|status| status["name"] == name).unwrap().clone();
    part["message"].as_str().unwrap().to_owned()
}

/// The gripper keeps its grip, the controller is told not to move.
fn stop_after_the_first_row() -> Value {
    json!([-1.0, 0.0])
}

const ROWS: [[f64; 2]; 4] = [[0.25, 0.9], [-0.2, 0.1], [0.1, 0.8], [0.0, 0.0]];

#[test]
fn in_a_simulation_nothing_happens_before_its_clock_and_everything_on_its_clock() {
    let node = Started::simulated(ROWS);
    assert_eq!(told(&node, "inference"), "waiting: nothing arrived on /clock yet");
    node.tick(100.0);
    let stamp = node.show_at(Stamp::default() + Span::from_secs(100.01));
    let (_, chunk) = node.next("/arm/vla_node/action_chunk");
    assert_eq!((&chunk["verdict"], &chunk["task"]), (&json!("sent"), &json!("go")));
    assert_eq!(chunk["header"]["stamp"], json!({"sec": stamp.to_ros().0, "nanosec": stamp.to_ros().1}));
    assert_eq!(node.rows_in_a_second(), [json!(null); 0], "the time of the first row has not come");
    node.tick(100.02);
    assert_eq!(node.next("/arm/vla_node/command").1["data"], json!([-1.0, 0.25]));
    node.tick(100.12);
    node.tick(100.22);
    assert_eq!(node.next("/arm/vla_node/command").1["data"], json!([1.0, -0.2]));
    node.end().unwrap();
}

#[test]
fn a_clock_that_goes_back_takes_the_rest_of_the_command_with_it() {
    let node = Started::simulated(ROWS);
    node.tick(100.0);
    node.show_at(Stamp::default() + Span::from_secs(100.0));
    node.next("/arm/vla_node/command");
    node.tick(40.0);
    assert_eq!(node.rows_in_a_second(), [stop_after_the_first_row()]);
    assert!(told(&node, "inference").contains("nothing usable yet"), "what was seen is of another time");
    node.tick(100.25);
    assert_eq!(node.rows_in_a_second(), [json!(null); 0], "the second row was due in another time");
    node.end().unwrap();
}

#[test]
fn a_clock_that_jumps_ahead_leaves_the_rest_of_the_command_behind() {
    let node = Started::simulated(ROWS);
    node.tick(100.0);
    node.show_at(Stamp::default() + Span::from_secs(100.0));
    node.next("/arm/vla_node/command");
    node.tick(160.0);
    assert_eq!(node.rows_in_a_second(), [stop_after_the_first_row()]);
    assert!(told(&node, "inference").contains("old, at most"));
    node.end().unwrap();
}

#[test]
fn a_task_parameter_is_an_instruction() {
    let node = Started::new("go", [[0.25, 0.9], [-0.2, 0.1], [0.1, 0.8], [0.0, 0.0]]);
    // The picture comes last: until then nothing is inferred.
    node.show(Span::from_millis(-5000.0));
    node.set("task", ParamValue::String("come back".to_owned()));
    node.next("/diagnostics");
    node.show(Span::from_millis(30.0));
    assert_eq!(node.next("/arm/vla_node/action_chunk").1["task"], "come back");
    node.end().unwrap();
}

#[test]
fn no_row_leaves_after_the_stop_but_the_one_that_stops_the_robot() {
    let node = Started::new("go", [[0.25, 0.9], [-0.2, 0.1], [0.1, 0.8], [0.0, 0.0]]);
    node.show(Span::from_millis(30.0));
    let (first, _) = node.next("/arm/vla_node/command");
    node.stop.send(()).unwrap();
    let result = node.thread.join().unwrap();
    assert!(clock::now().since(first) < Span::from_millis(190.0), "the next row is due 200 ms after the first");
    let rows = node.sent.iter().filter(|(topic, ..)| topic == "/arm/vla_node/command");
    let rows: Vec<Value> = rows.map(|(_, _, message)| message["data"].clone()).collect();
    assert!(result.is_ok());
    assert_eq!(rows, [stop_after_the_first_row()]);
}

#[test]
fn a_rejected_chunk_is_told_and_sends_no_row() {
    let node = Started::new("go", [[0.75, 0.9], [0.75, 0.9], [0.75, 0.9], [0.0, 0.0]]);
    node.show(Span::from_millis(30.0));
    let (_, chunk) = node.next("/arm/vla_node/action_chunk");
    // On a busy machine the first row may have passed; the second one is as far away.
    let why = ["0", "1"].map(|row| {
        format!(
            "rejected: controller_input `eef_x` row {row} steps from 0 to 0.75 controller_input, wanted at most 0.5"
        )
    });
    let why = why.iter().find(|why| chunk["verdict"] == **why).unwrap_or_else(|| panic!("{}", chunk["verdict"]));
    let (_, report) = node.next("/diagnostics");
    let parts = report["status"].as_array().unwrap().iter();
    let parts: BTreeMap<&str, &Value> = parts.map(|s| (s["name"].as_str().unwrap(), &s["message"])).collect();
    assert_eq!(parts["/arm/vla_node: safety"], why.as_str());
    assert_eq!(parts["/arm/vla_node: topics"], "`/eye`: a publisher who mumbles");
    assert_eq!(node.sent.try_iter().filter(|(topic, ..)| topic == "/arm/vla_node/command").count(), 0);
    node.end().unwrap();
}

#[test]
fn a_panic_in_the_policy_ends_the_node() {
    let node = Started::new("panic", [[0.0; 2]; 4]);
    node.show(Span::ZERO);
    assert_eq!(node.ends().unwrap_err().to_string(), "the inference thread panicked; nothing is published any more");
}

#[test]
fn a_dead_transport_ends_the_node() {
    let node = Started::new("go", [[0.0; 2]; 4]);
    node.alive.store(false, Ordering::Relaxed);
    assert_eq!(node.ends().unwrap_err().to_string(), "the ros thread panicked; nothing is published any more");
}
