//! Runs as bags.

use super::*;
use crate::msg::Float64MultiArray;

#[test]
fn two_runs_write_the_same_action_stream_byte_for_byte() {
    let deployment = live_arm();
    let folder = tempfile::tempdir().unwrap();
    let mut streams = Vec::new();
    for name in ["one.mcap", "two.mcap"] {
        let run = three_observations().run(&deployment, &mut Scripted::default()).unwrap();
        let path = folder.path().join(name);
        record(&path, &deployment, &names(&[]), &run).unwrap();
        let bag = BagReader::open(&path).unwrap();
        let messages: Vec<_> = bag.messages().map(Result::unwrap).collect();
        let chunks = messages.iter().filter(|m| m.topic == "/vla_node/action_chunk");
        streams.push(chunks.map(|m| (m.log_time, m.data().to_vec())).collect::<Vec<_>>());
        assert_eq!(messages.iter().filter(|m| m.topic == "/vla_node/timing").count(), 3);
    }
    assert_eq!(streams[0].len(), 3);
    assert_eq!(streams[0], streams[1]);
}

#[test]
fn a_written_run_is_what_the_next_one_expects() {
    let deployment = live_arm();
    let run = three_observations().run(&deployment, &mut Scripted::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    record(&path, &deployment, &names(&[]), &run).unwrap();
    let earlier = chunks(&BagReader::open(&path).unwrap(), "/vla_node/action_chunk").unwrap();
    assert_eq!(earlier, action_chunks(&deployment, &run));
    let first = &earlier[0];
    assert_eq!((first.source.as_str(), first.verdict.as_str(), first.kept_tokens), ("replay", "sent", 11));
    assert_eq!((first.names.join(" "), first.chunk_size), ("shoulder elbow gripper".to_owned(), 4));
}

#[test]
fn sent_trajectories_are_written_on_the_topics_of_the_node_and_a_dry_run_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    let deployment = live_arm();
    let run = three_observations().run(&deployment, &mut Scripted::default()).unwrap();
    record(&path, &deployment, &names(&["__ns:=/left", "~/joint_trajectory:=/arm/follow"]), &run).unwrap();
    let bag = BagReader::open(&path).unwrap();
    let sent: Vec<_> = bag.messages().map(Result::unwrap).filter(|message| message.topic == "/arm/follow").collect();
    let times: Vec<_> = sent.iter().map(|message| message.log_time.since(at(0.0)).millis()).collect();
    // Each chunk's, and a stop when the joints have been silent for 50 ms.
    assert_eq!(times, [10.0, 55.0, 210.0, 255.0, 410.0]);
    let third: JointTrajectory = sent[2].decode().unwrap();
    assert_eq!(Stamp::from(third.header.stamp), at(210.0));
    assert_eq!(third.joint_names, ["j1", "j2", "finger"]);
    // From where the arm was told to stay; only the elbow is measured farther from there than a step.
    let stop: JointTrajectory = sent[1].decode().unwrap();
    let [first, last] = [&third.points[0], third.points.last().unwrap()];
    let told = &stop.points.last().unwrap().positions;
    assert_eq!(first.positions, [told[0], 0.1, told[2]]);
    assert_eq!((&first.velocities[..], &last.velocities[..]), (&[0.0; 3][..], &[0.0; 3][..]));
    assert_eq!(
        bag.topics().map(|topic| topic.name.as_str()).collect::<Vec<_>>(),
        ["/arm/follow", "/left/vla_node/action_chunk", "/left/vla_node/timing"]
    );

    let dry = arm_with(&[]);
    let run = three_observations().run(&dry, &mut Scripted::default()).unwrap();
    record(&path, &dry, &names(&[]), &run).unwrap();
    assert!(BagReader::open(&path).unwrap().topic("/vla_node/joint_trajectory").is_err());
}

#[test]
fn rows_are_written_when_they_are_due_until_the_next_command_replaces_them() {
    struct Rows;
    impl Answer for Rows {
        fn answer(&mut self, _: &Observation) -> Result<Answered, String> {
            let rows = [[0.25, 0.9], [-0.2, 0.1], [0.1, 0.8], [0.0, 0.0]].concat();
            Ok(Answered { chunk: Chunk::new(rows, 2).unwrap(), kept_tokens: 0, stages: vec![] })
        }
    }
    let io = "
rate_hz: 5
actions:
- {name: eef_x, unit: controller_input, kind: eef_delta_position, scale: 0.05, frame: base, reference: measured}
- {name: gripper, unit: normalized, kind: gripper, open: 1.0, closed: 0.0, threshold: 0.5}
";
    let robot = "
format: 1
robot: box
inputs:
- {kind: camera, camera: front, transport: raw, max_age_ms: 100}
outputs:
- kind: controller_input
  dims:
  - {action: gripper, open: -1.0, closed: 1.0, max_step: 2.0}
  - {action: eef_x, min: -0.9, max: 1.0, max_step: 0.5}
";
    let more = [("dry_run", ParamValue::Bool(false)), ("task", ParamValue::String("go".to_owned()))];
    let deployment = Deployment::check(&bundle(io, &["front"]), &profile(robot), parameters(&more)).unwrap();
    let run = three_observations().run(&deployment, &mut Rows).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    record(&path, &deployment, &names(&[]), &run).unwrap();
    let bag = BagReader::open(&path).unwrap();
    let rows: Vec<_> =
        bag.messages().map(Result::unwrap).filter(|message| message.topic == "/vla_node/command").collect();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.log_time.since(at(0.0)).millis(), row.decode::<Float64MultiArray>().unwrap().data))
        .collect();
    let [first, second, stop] = [[-1.0, 0.25], [1.0, -0.2], [1.0, 0.0]].map(|row| row.to_vec());
    // Decided at 10, 210 and 410 ms from what was seen 10 ms before. At first nothing had been executed, so that row 0 is
    // not past; later it is, and row 2 of the first two is replaced before it is due. The bag ends at 410 ms, and so does
    // the command: one horizon later nothing moves, and the gripper keeps its grip.
    let want = [(10.0, first), (210.0, second.clone()), (400.0, second.clone()), (600.0, second), (800.0, stop)];
    assert_eq!(rows, want);
}
