//! Over real DDS, against CycloneDDS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "ros2/peer.rs"]
mod peer;

use std::sync::mpsc::{RecvTimeoutError, channel};

use peer::{PATIENCE, Robot, domain};
use serde_json::json;
use vla_runtime::drive::ros::{Dds, DdsSettings, Network, Services, Session as _, Text, Transport as _};
use vla_runtime::msg::{ActionChunk, Duration, Header, JointTrajectory};
use vla_runtime::time::Stamp;
use vla_runtime::types::{Arrives, Encoding, Optics};

fn join(name: &str) -> Dds {
    Dds::join(DdsSettings { domain: domain(), network: Network::Localhost, services: Services::Enhanced }, "/arm", name)
        .unwrap()
}

fn header() -> serde_json::Value {
    json!({"stamp": {"sec": 7, "nanosec": 250_000_000}, "frame_id": "optical"})
}

#[test]
fn messages_of_another_dds_arrive_with_their_values() {
    let image = json!({"header": header(), "height": 480, "width": 640, "encoding": "bgr8", "is_bigendian": 0,
        "step": 1921, "data": {"pattern": 480 * 1921}});
    let jpeg = json!({"header": header(), "format": "jpeg", "data": {"pattern": 70_000}});
    let joints = json!({"header": header(), "name": ["a", "b"], "position": [0.5, -1.25]});
    let latcher = Robot::start(&json!({"hear": [{"topic": "/latched", "type": "String", "latched": true}], "send": [
        {"topic": "/latched", "type": "String", "rate_hz": 0, "message": {"data": "höher"}},
    ]}));
    latcher.hear("/latched", |text| text["data"] == "höher");
    let _robot = Robot::start(&json!({"hear": [], "send": [
        {"topic": "/raw", "type": "Image", "rate_hz": 5, "message": image},
        {"topic": "/jpeg", "type": "CompressedImage", "rate_hz": 5, "message": jpeg},
        {"topic": "/joints", "type": "JointState", "rate_hz": 20, "message": joints},
        {"topic": "/volatile", "type": "String", "rate_hz": 5, "message": {"data": "lower"}},
    ]}));
    let (raw_sink, raw) = channel();
    let (jpeg_sink, jpeg) = channel();
    let (joints_sink, joints) = channel();
    let (latched_sink, latched) = channel();
    let (volatile_sink, volatile) = channel();
    let mut node = join("listener");
    node.subscribe_image("/raw", Box::new(move |picture| drop(raw_sink.send(picture)))).unwrap();
    node.subscribe_compressed_image("/jpeg", Box::new(move |picture| drop(jpeg_sink.send(picture)))).unwrap();
    node.subscribe_joints("/joints", Box::new(move |state| drop(joints_sink.send(state)))).unwrap();
    node.subscribe_text("/latched", Box::new(move |text| drop(latched_sink.send(text)))).unwrap();
    node.subscribe_text("/volatile", Box::new(move |text| drop(volatile_sink.send(text)))).unwrap();
    let session = node.start().unwrap();

    let raw = raw.recv_timeout(PATIENCE).unwrap().unwrap();
    let frame = raw.value;
    assert_eq!(raw.stamp, Stamp::from_ros(7, 250_000_000));
    assert_eq!((frame.encoding, frame.width, frame.height, frame.step), (Encoding::Bgr8, 640, 480, 1921));
    assert!(frame.data.iter().enumerate().all(|(index, &byte)| usize::from(byte) == index % 251));
    assert_eq!((frame.data.len(), frame.frame_id.as_str()), (480 * 1921, "optical"));
    let file = jpeg.recv_timeout(PATIENCE).unwrap().unwrap().value;
    assert_eq!((file.encoding, file.data.len(), file.data[252]), (Encoding::Jpeg, 70_000, 1));
    let state = joints.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((state.value.names, state.value.positions), (vec!["a".into(), "b".into()], vec![0.5, -1.25]));
    assert_eq!(latched.recv_timeout(PATIENCE).unwrap().unwrap(), Text::Latched("höher".into()));
    // Its publisher may have begun before we listened.
    let mut texts = std::iter::repeat_with(|| volatile.recv_timeout(PATIENCE).unwrap().unwrap());
    assert_eq!(texts.find(|text| matches!(text, Text::Fresh(_))), Some(Text::Fresh("lower".into())));
    assert!(latched.try_recv().is_err(), "what two readers bring is delivered once");
    assert!(session.is_alive());
}

#[test]
fn a_publisher_of_another_type_and_one_that_promises_less_are_named() {
    let joints = json!({"header": header(), "name": ["a"], "position": [0.5]});
    let _robot =
        Robot::start(&json!({"hear": [{"topic": "/target", "type": "JointTrajectory", "latched": true}], "send": [
            {"topic": "/text", "type": "String", "rate_hz": 5, "message": {"data": "hello"}},
            {"topic": "/eye", "type": "JointState", "rate_hz": 5, "message": joints},
            {"topic": "/both", "type": "String", "rate_hz": 5, "message": {"data": "hello"}},
        ]}));
    let mut node = join("critic");
    node.subscribe_image("/eye", Box::new(|picture| panic!("{picture:?}"))).unwrap();
    node.subscribe_text("/both", Box::new(drop)).unwrap();
    let _publisher = node.publisher::<JointTrajectory>("/target").unwrap();
    let session = node.start().unwrap();
    let (_never, wait) = channel::<()>();
    let mut seen = Vec::new();
    for _ in 0..200 {
        seen = session.mismatches().iter().map(ToString::to_string).collect();
        if seen.len() >= 2 || wait.recv_timeout(std::time::Duration::from_millis(100)).is_ok() {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "`/eye`: a publisher of type sensor_msgs/msg/JointState, wanted sensor_msgs/msg/Image",
            "`/target`: a subscriber whose durability does not fit ours",
        ]
    );
}

#[test]
fn poses_transforms_and_arrays_of_another_dds_arrive_with_their_values() {
    let turned = json!({"x": 0.0, "y": 0.6, "z": 0.0, "w": -0.8});
    let pose =
        json!({"header": header(), "pose": {"position": {"x": 0.25, "y": -1.5, "z": 3.0}, "orientation": turned}});
    let array = json!({"layout": {"dim": [], "data_offset": 0}, "data": [0.5, -2.5]});
    let info = json!({"header": header(), "height": 29, "width": 37, "distortion_model": "plumb_bob",
        "d": [-0.25, 0.125, 0.0, 0.0, 0.5], "k": [30.5, 0.0, 17.25, 0.0, 31.25, 13.75, 0.0, 0.0, 1.0],
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [21.0, 0.0, 18.5, 0.0, 0.0, 23.5, 14.25, 0.0, 0.0, 0.0, 1.0, 0.0], "binning_x": 0, "binning_y": 0,
        "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": false}});
    let _robot = Robot::start(&json!({"hear": [], "send": [
        {"topic": "/pose", "type": "PoseStamped", "rate_hz": 20, "message": pose},
        {"topic": "/values", "type": "Float64MultiArray", "rate_hz": 20, "message": array},
        {"topic": "/info", "type": "CameraInfo", "rate_hz": 20, "message": info},
        {"topic": "/frames", "type": "TFMessage", "rate_hz": 20, "message": {"transforms": []}},
        {"topic": "/fixed", "type": "TFMessage", "rate_hz": 0, "message": {"transforms": []}},
    ]}));
    let (pose_sink, poses) = channel();
    let (array_sink, arrays) = channel();
    let (info_sink, infos) = channel();
    let (frames_sink, frames) = channel();
    let (fixed_sink, fixed) = channel();
    let mut node = join("watcher");
    node.subscribe_pose("/pose", Box::new(move |pose| drop(pose_sink.send(pose)))).unwrap();
    node.subscribe_array("/values", Box::new(move |array| drop(array_sink.send(array)))).unwrap();
    node.subscribe_camera_info("/info", Arrives::Bent, Box::new(move |info| drop(info_sink.send(info)))).unwrap();
    node.subscribe_transforms("/frames", Box::new(move |frames| drop(frames_sink.send(frames)))).unwrap();
    node.subscribe_fixed_transforms("/fixed", Box::new(move |frames| drop(fixed_sink.send(frames)))).unwrap();
    let _session = node.start().unwrap();
    let pose = poses.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((pose.stamp, pose.value.frame_id.as_str()), (Stamp::from_ros(7, 250_000_000), "optical"));
    assert_eq!(pose.value.pose.position, [0.25, -1.5, 3.0]);
    assert_eq!(pose.value.pose.rotation.xyzw(), [0.0, 0.6, 0.0, -0.8]);
    assert_eq!(arrays.recv_timeout(PATIENCE).unwrap().unwrap(), [0.5, -2.5]);
    let Optics::Bent(lens) = infos.recv_timeout(PATIENCE).unwrap().unwrap() else { panic!("a lens") };
    assert_eq!((lens.size, lens.intrinsics), ([37, 29], [30.5, 31.25, 17.25, 13.75]));
    assert_eq!(lens.distortion[..5], [-0.25, 0.125, 0.0, 0.0, 0.5]);
    assert_eq!(frames.recv_timeout(PATIENCE).unwrap().unwrap(), []);
    assert_eq!(fixed.recv_timeout(PATIENCE).unwrap().unwrap(), []);
}

#[test]
fn messages_reach_another_dds_with_their_values_and_the_node_is_in_the_graph() {
    let robot = Robot::start(&json!({"send": [], "hear": [
        {"topic": "/arm/chunk", "type": "ActionChunk"},
        {"topic": "ros_discovery_info", "type": "ParticipantEntitiesInfo"},
    ]}));
    let mut node = join("speaker");
    let publisher = node.publisher::<ActionChunk>("/arm/chunk").unwrap();
    let _session = node.start().unwrap();
    robot.hear("ros_discovery_info", |info| {
        let nodes = info["node_entities_info_seq"].as_array().unwrap();
        nodes.iter().any(|node| node["node_namespace"] == "/arm" && node["node_name"] == "speaker")
    });
    let chunk = ActionChunk {
        header: Header::new(Stamp::from_ros(3, 4), "optical"),
        task: "wipe".into(),
        chunk_id: 1 << 33,
        names: vec!["x".into(), "y".into()],
        chunk_size: 2,
        action_dt: Duration { sec: 0, nanosec: 50_000_000 },
        actions: vec![0.5, -0.25, 1.5, 2.0],
        kept_tokens: 9,
        verdict: "dry_run".into(),
        ..ActionChunk::default()
    };
    // Matching takes a moment, and what is sent before it is lost.
    let (stop, stopped) = channel::<()>();
    let sender = std::thread::spawn(move || {
        while stopped.recv_timeout(std::time::Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
            publisher.publish(chunk.clone()).unwrap();
        }
    });
    let heard = robot.hear("/arm/chunk", |_| true);
    drop(stop);
    sender.join().unwrap();
    assert_eq!(heard["actions"], json!([0.5, -0.25, 1.5, 2.0]));
    assert_eq!((&heard["chunk_id"], &heard["kept_tokens"]), (&json!(1_u64 << 33), &json!(9)));
    assert_eq!((&heard["task"], &heard["verdict"]), (&json!("wipe"), &json!("dry_run")));
    assert_eq!(heard["header"]["stamp"], json!({"sec": 3, "nanosec": 4}));
}
