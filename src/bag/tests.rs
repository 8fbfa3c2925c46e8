//! Bags written elsewhere are read; wrong ones end in errors.

mod damaged;
mod variants;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use mcap::records::MessageHeader;
use mcap::{Compression, WriteOptions};

use super::*;
use crate::msg::{CompressedImage, Image, JointState, StringMessage, to_cdr};
use crate::time::Stamp;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bags").join(name)
}

fn text(data: &str) -> Vec<u8> {
    to_cdr(&StringMessage { data: data.into() })
}

/// A file of `std_msgs/String` messages on `/a` (even positions) and `/b`, in this order, as the `mcap` crate writes it.
fn mcap_bytes(options: WriteOptions, messages: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = options.create(Cursor::new(Vec::new())).unwrap();
    let schema = out.add_schema("std_msgs/msg/String", "ros2msg", b"string data").unwrap();
    let channels = ["/a", "/b"].map(|topic| out.add_channel(schema, topic, "cdr", &BTreeMap::new()).unwrap());
    for (i, (log_time, data)) in messages.iter().enumerate() {
        let header = MessageHeader { channel_id: channels[i % 2], sequence: 0, log_time: *log_time, publish_time: 7 };
        out.write_to_known_channel(&header, data).unwrap();
    }
    out.finish().unwrap();
    out.into_inner().into_inner()
}

fn in_file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read_all(path: &Path) -> Vec<(i64, String, String)> {
    let bag = BagReader::open(path).unwrap();
    bag.messages()
        .map(|message| {
            let message = message.unwrap();
            let said = message.decode::<StringMessage>().unwrap().data;
            (message.log_time.nanos(), message.topic.to_owned(), said)
        })
        .collect()
}

/// Expected values: what `tests/data/recipes/render_bag.py` printed and python `rosbags` 0.11.9 read back.
#[test]
fn the_rendered_bag_has_the_topics_that_its_recipe_wrote() {
    let bag = BagReader::open(&recorded("arm6_reach")).unwrap();
    let topics: Vec<_> = bag.topics().map(|t| (t.name.as_str(), t.type_name.as_str(), t.count)).collect();
    assert_eq!(
        topics,
        [
            ("/images/front/compressed", "sensor_msgs/msg/CompressedImage", 50),
            ("/joint_states", "sensor_msgs/msg/JointState", 200),
            ("/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", 40),
            ("/vla/instruction", "std_msgs/msg/String", 1),
        ]
    );
    let messages: Vec<_> = bag.messages().map(Result::unwrap).collect();
    assert_eq!(messages.len(), 291);
    let first: Vec<_> =
        messages[..6].iter().map(|m| (m.topic, m.log_time.nanos() - 1_763_640_000_000_000_000)).collect();
    assert_eq!(
        first,
        [
            ("/joint_states", 1_000_000),
            ("/joint_trajectory", 2_500_000),
            ("/vla/instruction", 5_000_000),
            ("/joint_states", 21_100_000),
            ("/joint_states", 41_200_000),
            ("/joint_states", 61_000_000),
        ]
    );
    assert!(messages.is_sorted_by_key(|m| m.log_time));
}

#[test]
fn recorded_messages_decode_to_what_python_reads() {
    let bag = BagReader::open(&recorded("arm6_reach")).unwrap();
    let first = |topic: &str| bag.messages().map(Result::unwrap).find(|m| m.topic == topic).unwrap();
    let joints = first("/joint_states").decode::<JointState>().unwrap();
    assert_eq!(joints.name[..2], ["gripper", "joint_1"]);
    assert!((joints.position[1] - 0.105_075_053).abs() < 1e-9);
    let message = first("/images/front/compressed");
    let picture = message.decode::<CompressedImage>().unwrap();
    assert_eq!(Stamp::from(picture.header.stamp).nanos(), 1_763_640_000_060_000_000);
    assert_eq!((picture.data.len(), &picture.data[..4]), (13_231, &[255, 216, 255, 224][..]));

    let raw = BagReader::open(&recorded("arm6_raw/arm6_raw.mcap")).unwrap();
    let message = raw.messages().map(Result::unwrap).find(|m| m.topic == "/images/front").unwrap();
    let picture = message.decode::<Image>().unwrap();
    assert_eq!((picture.width, picture.height, picture.step, picture.encoding.as_str()), (128, 96, 384, "rgb8"));
    assert_eq!((picture.data.len(), &picture.data[..3]), (36_864, &[107, 101, 92][..]));
}

#[test]
fn messages_come_in_log_order_across_overlapping_chunks_and_files() {
    for chunk_bytes in [1, 1_000_000] {
        let options = || WriteOptions::new().chunk_size(Some(chunk_bytes));
        let folder = tempfile::tempdir().unwrap();
        let one = mcap_bytes(options(), &[(30, text("c")), (10, text("a")), (50, text("e"))]);
        let two = mcap_bytes(options(), &[(20, text("b")), (40, text("d")), (40, text("d2"))]);
        std::fs::write(folder.path().join("x_1.mcap"), one).unwrap();
        std::fs::write(folder.path().join("x_2.mcap"), two).unwrap();
        let said: Vec<_> = read_all(folder.path()).into_iter().map(|(at, _, said)| (at, said)).collect();
        let want = [(10, "a"), (20, "b"), (30, "c"), (40, "d"), (40, "d2"), (50, "e")];
        assert_eq!(said, want.map(|(at, said)| (at, said.to_owned())), "chunks of {chunk_bytes} bytes");
    }
}

#[test]
fn every_chunk_compression_and_none_gives_the_same_messages() {
    let messages = [(5, text("pick")), (6, text("place"))];
    let want = [(5, "/a".to_owned(), "pick".to_owned()), (6, "/b".to_owned(), "place".to_owned())];
    for (name, options) in [
        ("zstd", WriteOptions::new().compression(Some(Compression::Zstd))),
        ("lz4", WriteOptions::new().compression(Some(Compression::Lz4))),
        ("none", WriteOptions::new().compression(None)),
        ("no chunks", WriteOptions::new().use_chunks(false)),
    ] {
        let (_folder, path) = in_file(&mcap_bytes(options, &messages));
        assert_eq!(read_all(&path), want, "{name}");
    }
}

#[test]
fn a_message_compressed_on_its_own_is_unpacked() {
    let packed = zstd::encode_all(&text("pick up the red block")[..], 3).unwrap();
    let (_folder, path) = in_file(&mcap_bytes(WriteOptions::new(), &[(5, packed)]));
    assert_eq!(read_all(&path), [(5, "/a".to_owned(), "pick up the red block".to_owned())]);
}

#[test]
fn a_file_that_says_nothing_at_its_end_is_counted() {
    let bare = || WriteOptions::new().emit_summary_records(false);
    for options in [bare(), bare().use_chunks(false)] {
        let (_folder, path) = in_file(&mcap_bytes(options, &[(5, text("x")), (6, text("y")), (7, text("z"))]));
        let bag = BagReader::open(&path).unwrap();
        let counts: Vec<_> = bag.topics().map(|t| (t.name.as_str(), t.count)).collect();
        assert_eq!(counts, [("/a", 2), ("/b", 1)]);
    }
}

#[test]
fn statistics_that_do_not_add_up_are_not_believed() {
    let bytes = mcap_bytes(WriteOptions::new().use_chunks(false), &[(5, text("x")), (6, text("y")), (7, text("z"))]);
    // Statistics: opcode 0x0b, length, number of messages; the first channel's count stands 48 bytes into its fields.
    let at = (0..bytes.len() - 17).rev().find(|&i| bytes[i] == 0x0b && bytes[i + 9..i + 17] == 3_u64.to_le_bytes());
    let count = at.unwrap() + 9 + 48;
    assert_eq!(bytes[count..count + 8], 2_u64.to_le_bytes());
    let mut changed = bytes.clone();
    changed[count] = 9;
    let (_folder, path) = in_file(&changed);
    assert_eq!(BagReader::open(&path).unwrap().topic("/a").unwrap().count, 2);
}

#[test]
fn a_topic_that_is_not_there_is_answered_with_what_is() {
    let bag = BagReader::open(&recorded("arm6_raw")).unwrap();
    let want = "bag has no topic `/images/wrist`; it has /images/front (sensor_msgs/msg/Image), \
                /joint_states (sensor_msgs/msg/JointState), /joint_trajectory (trajectory_msgs/msg/JointTrajectory), \
                /vla/instruction (std_msgs/msg/String)";
    assert_eq!(bag.topic("/images/wrist").unwrap_err().to_string(), want);
}

#[test]
fn a_message_is_not_read_as_another_type() {
    let bag = BagReader::open(&recorded("arm6_raw")).unwrap();
    let message = bag.messages().map(Result::unwrap).find(|m| m.topic == "/joint_states").unwrap();
    let want = "topic `/joint_states` is sensor_msgs/msg/JointState, wanted std_msgs/msg/String";
    assert_eq!(message.decode::<StringMessage>().unwrap_err().to_string(), want);
}

#[test]
fn a_message_in_another_encoding_is_not_taken_for_cdr() {
    let mut out = WriteOptions::new().create(Cursor::new(Vec::new())).unwrap();
    let schema = out.add_schema("std_msgs/msg/String", "jsonschema", b"{}").unwrap();
    let channel_id = out.add_channel(schema, "/a", "json", &BTreeMap::new()).unwrap();
    let header = MessageHeader { channel_id, sequence: 0, log_time: 5, publish_time: 5 };
    out.write_to_known_channel(&header, b"{\"data\": \"x\"}").unwrap();
    out.finish().unwrap();
    let (_folder, path) = in_file(out.into_inner().get_ref());
    let bag = BagReader::open(&path).unwrap();
    let message = bag.messages().next().unwrap().unwrap();
    let want = "topic `/a` is std_msgs/msg/String in json, wanted std_msgs/msg/String";
    assert_eq!(message.decode::<StringMessage>().unwrap_err().to_string(), want);
}

#[test]
fn an_unknown_chunk_compression_is_named() {
    let bytes = mcap_bytes(WriteOptions::new().compression(Some(Compression::Lz4)), &[(5, text("x"))]);
    let at = bytes.windows(3).position(|window| window == b"lz4").unwrap();
    let mut changed = bytes.clone();
    changed[at..at + 3].copy_from_slice(b"br7");
    let (_folder, path) = in_file(&changed);
    let bag = BagReader::open(&path).unwrap();
    let error = bag.messages().next().unwrap().err().unwrap().to_string();
    let want = "is compressed with `br7`, supported are none, zstd and lz4: ";
    assert!(error.starts_with("MCAP chunk at byte ") && error.contains(want), "{error}");
}

#[test]
fn a_chunk_that_claims_more_than_any_recorder_writes_is_not_unpacked() {
    let mut bytes = mcap_bytes(WriteOptions::new(), &[(5, text("x"))]);
    // Behind the chunk's opcode and length and its two times.
    let chunk = (8..bytes.len()).find(|&at| bytes[at] == 0x06 && bytes[at + 9..at + 17] == 5_u64.to_le_bytes());
    let size = chunk.unwrap() + 9 + 16;
    bytes[size..size + 8].copy_from_slice(&(1_u64 << 31).to_le_bytes());
    let (_folder, path) = in_file(&bytes);
    let bag = BagReader::open(&path).unwrap();
    let error = bag.messages().next().unwrap().err().unwrap().to_string();
    assert!(error.contains(": chunk claims 2147483648 bytes, the limit is 1073741824: "), "{error}");
}

#[test]
fn a_message_of_a_channel_that_nobody_defined_is_an_error() {
    let mut bytes = mcap_bytes(WriteOptions::new().use_chunks(false), &[(5, text("x"))]);
    let message = (8..bytes.len()).find(|&at| bytes[at] == 0x05 && bytes[at + 15..at + 23] == 5_u64.to_le_bytes());
    bytes[message.unwrap() + 9] = 77;
    let (_folder, path) = in_file(&bytes);
    let bag = BagReader::open(&path).unwrap();
    let error = bag.messages().next().unwrap().err().unwrap().to_string();
    assert!(error.contains(": message of unknown channel 77: "), "{error}");
}

#[test]
fn a_damaged_chunk_ends_the_messages_with_an_error() {
    let mut bytes = std::fs::read(recorded("arm6_raw/arm6_raw.mcap")).unwrap();
    let magic = bytes.windows(4).position(|window| window == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    bytes[magic] = 0;
    let (_folder, path) = in_file(&bytes);
    let bag = BagReader::open(&path).unwrap();
    let results: Vec<_> = bag.messages().collect();
    assert_eq!(results.len(), 1);
    let error = results[0].as_ref().err().unwrap().to_string();
    assert!(error.contains("chunk does not unpack: "), "{error}");
}

#[test]
fn what_is_written_is_read_and_a_dropped_bag_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mcap");
    let says = |data: &str| StringMessage { data: data.into() };
    let mut dropped = BagWriter::create(&path).unwrap();
    dropped.write("/vla/task", Stamp::from_nanos(3), &says("lost")).unwrap();
    drop(dropped);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let mut writer = BagWriter::create(&path).unwrap();
    writer.write("/vla/task", Stamp::from_nanos(5), &says("pick")).unwrap();
    writer.write("/vla/other", Stamp::from_nanos(4), &says("place")).unwrap();
    writer.finish().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let want = [(4, "/vla/other", "place"), (5, "/vla/task", "pick")].map(|(at, t, s)| (at, t.into(), s.into()));
    assert_eq!(read_all(&path), want);
}
