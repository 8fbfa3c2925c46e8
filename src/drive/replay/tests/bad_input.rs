//! Bags that lack what is needed, or hold what is damaged or of no use.

use super::*;

#[test]
fn every_input_that_the_bag_lacks_is_listed_with_what_it_has() {
    let text = StringMessage { data: "go".into() };
    let made = Made::new().also(|bag| bag.write("/chatter", at(0.0), &text).unwrap());
    let deployment = Deployment::check(&bundle(ARM_IO, &["front"]), &profile(ARM_PROFILE), parameters(&[])).unwrap();
    let error = made.run(&deployment, &mut Scripted::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bag lacks `/images/front` (camera `front`), `/joint_states` (joint states), `/vla_node/instruction` \
         (instruction; parameter `task` would do); it has `/chatter` (std_msgs/msg/String); `--ros-args -r name:=topic` \
         gives an input another topic"
    );
}

#[test]
fn a_needed_topic_of_another_type_is_missing_and_says_what_it_should_be() {
    let text = StringMessage { data: "go".into() };
    let made = Made::new().also(|bag| bag.write("/joint_states", at(0.0), &text).unwrap());
    let made = made.also(|bag| bag.write("/images/front", at(0.0), &text).unwrap());
    let error = made.run(&live_arm(), &mut Scripted::default()).unwrap_err().to_string();
    let want = "bag lacks `/images/front` as sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage (camera `front`), \
                `/joint_states` as sensor_msgs/msg/JointState (joint states); it has ";
    assert!(error.starts_with(want), "{error}");
}

/// A file with three observations in which `payload` stands as a joint state between the first two.
fn with_joint_state_of(payload: &[u8]) -> (tempfile::TempDir, BagReader) {
    let made = three_observations();
    made.bag.finish().unwrap();
    let source = BagReader::open(&made.path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.mcap");
    let mut out = mcap::WriteOptions::new().create(std::fs::File::create(&path).unwrap()).unwrap();
    let mut write = |topic: &str, kind: &str, at: Stamp, data: &[u8]| {
        let schema = out.add_schema(kind, "ros2msg", b"").unwrap();
        let channel_id = out.add_channel(schema, topic, "cdr", &std::collections::BTreeMap::new()).unwrap();
        let time = at.nanos() as u64;
        let header = mcap::records::MessageHeader { channel_id, sequence: 0, log_time: time, publish_time: time };
        out.write_to_known_channel(&header, data).unwrap();
    };
    for message in source.messages().map(Result::unwrap) {
        write(message.topic, message.type_name, message.log_time, message.data());
    }
    write("/joint_states", "sensor_msgs/msg/JointState", at(50.0), payload);
    out.finish().unwrap();
    let bag = BagReader::open(&path).unwrap();
    (folder, bag)
}

#[test]
fn a_message_that_is_empty_or_damaged_is_told_and_the_run_goes_on() {
    let log_time = at(50.0).nanos();
    let empty = "sensor_msgs/msg/JointState: got 0 bytes, a CDR payload has at least 4";
    let damaged = "zstd payload: ";
    for (payload, reason) in [(&b""[..], empty), (&[0x28, 0xb5, 0x2f, 0xfd, 0xff][..], damaged)] {
        let (_folder, bag) = with_joint_state_of(payload);
        let deployment = live_arm();
        let prepared = Prepared::new(&bag, &deployment, &names(&[])).unwrap();
        let run = prepared.run(&mut Scripted::default()).unwrap();
        assert_eq!(run.steps.len(), 3);
        let text = report(&live_arm(), &run);
        let want = format!("unusable          1  topic `/joint_states`, message logged at {log_time} ns: {reason}");
        assert!(text.contains(&want), "{text}");
    }
}

#[test]
fn a_recorded_command_that_does_not_decode_is_told_and_the_run_goes_on() {
    let text = StringMessage { data: "no trajectory".into() };
    let made = three_observations().also(|bag| bag.write("/vla_node/joint_trajectory", at(1.0), &text).unwrap());
    let run = made.run(&live_arm(), &mut Scripted::default()).unwrap();
    let want = "unusable          1  topic `/vla_node/joint_trajectory` is std_msgs/msg/String, wanted \
                trajectory_msgs/msg/JointTrajectory\n";
    let text = report(&live_arm(), &run);
    assert!(text.contains(want), "{text}");
}

#[test]
fn messages_that_nobody_needs_are_counted_whatever_they_are() {
    let text = StringMessage { data: "hello".into() };
    let made = three_observations().also(|bag| {
        for (topic, ms) in [("/chatter", 1.0), ("/chatter", 2.0), ("/imu", 3.0)] {
            bag.write(topic, at(ms), &text).unwrap();
        }
    });
    let run = made.run(&live_arm(), &mut Scripted::default()).unwrap();
    let text = report(&live_arm(), &run);
    assert!(text.contains("not needed        3  on topics without a listener, 2 of them\n"), "{text}");
}
