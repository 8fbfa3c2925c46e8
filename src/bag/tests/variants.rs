//! The same six messages in every way in which rosbag2 stores them; `tests/data/recipes/vary_bag.py` wrote them.

use super::*;
use crate::msg::{Image, JointState};

const START_NANOS: i64 = 1_763_640_000_000_000_000;

/// Milliseconds after the start, topic, and what the recipe says about the content.
fn told(bag: &BagReader) -> Vec<(i64, String, String)> {
    let content = |message: &RawMessage| match message.topic {
        "/vla/instruction" => message.decode::<StringMessage>().unwrap().data,
        "/joint_states" => format!("{:?}", message.decode::<JointState>().unwrap().position),
        _ => {
            let picture = message.decode::<Image>().unwrap();
            let (first, last) = (picture.data[0], picture.data[1799]);
            format!("{}x{} {first}..{last}", picture.width, picture.height)
        }
    };
    let messages = bag.messages().map(Result::unwrap);
    messages.map(|m| ((m.log_time.nanos() - START_NANOS) / 1_000_000, m.topic.to_owned(), content(&m))).collect()
}

fn written() -> Vec<(i64, String, String)> {
    // The last byte is the first one and 1799 more, modulo 251.
    [
        (1, "/vla/instruction", "wipe the table"),
        (2, "/joint_states", "[0.5, -1.5]"),
        (5, "/images/front", "30x20 3..45"),
        (12, "/joint_states", "[0.75, -1.5]"),
        (15, "/images/front", "30x20 7..49"),
        (22, "/joint_states", "[1.0, -1.5]"),
    ]
    .map(|(at, topic, content)| (at, topic.to_owned(), content.to_owned()))
    .to_vec()
}

const NAMES: [&str; 11] = [
    "db3_file",
    "db3_message",
    "db3_plain",
    "db3_split",
    "db3_version_4",
    "db3_version_8",
    "mcap_chunk",
    "mcap_file",
    "mcap_message",
    "mcap_plain",
    "mcap_split",
];

fn variant(name: &str) -> PathBuf {
    recorded("variants").join(name)
}

/// A copy of a variant without its metadata.
fn bare(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(variant(name)).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "metadata.yaml" {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}

#[test]
fn every_way_to_store_a_bag_gives_the_same_messages_with_and_without_metadata() {
    for name in NAMES {
        let bag = BagReader::open(&variant(name)).unwrap();
        assert_eq!(told(&bag), written(), "{name}");
        assert_eq!(bag.warnings(), [""; 0], "{name}");
        let counts: Vec<_> = bag.topics().map(|t| (t.name.as_str(), t.type_name.as_str(), t.count)).collect();
        let want = [
            ("/images/front", "sensor_msgs/msg/Image", 2),
            ("/joint_states", "sensor_msgs/msg/JointState", 3),
            ("/vla/instruction", "std_msgs/msg/String", 1),
        ];
        assert_eq!(counts, want, "{name}");

        let folder = bare(name);
        let bag = BagReader::open(folder.path()).unwrap();
        assert_eq!((told(&bag), bag.warnings().len()), (written(), 0), "{name} without metadata");
    }
}

#[test]
fn a_file_alone_is_a_bag_whatever_its_name_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["db3_file/db3_file.db3.zstd", "mcap_file/mcap_file.mcap.zstd", "db3_plain/db3_plain.db3"] {
        let path = folder.path().join("50% of a run?#");
        std::fs::copy(variant(name), &path).unwrap();
        assert_eq!(told(&BagReader::open(&path).unwrap()), written(), "{name}");
    }
}

#[test]
fn reading_a_bag_leaves_nothing_behind() {
    let folder = bare("db3_plain");
    told(&BagReader::open(folder.path()).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_database_that_a_recorder_left_open_is_read_with_a_warning() {
    let folder = bare("db3_plain");
    let database = folder.path().join("db3_plain.db3");
    // Read and write version 2: the database was in write-ahead mode.
    let mut bytes = std::fs::read(&database).unwrap();
    bytes[18..20].copy_from_slice(&[2, 2]);
    std::fs::write(&database, bytes).unwrap();
    std::fs::write(folder.path().join("db3_plain.db3-wal"), b"something").unwrap();
    std::fs::write(folder.path().join("db3_plain.db3-journal"), b"").unwrap();
    let bag = BagReader::open(folder.path()).unwrap();
    assert_eq!(told(&bag), written());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "reading left something beside the database");
    let want =
        format!("the recorder was interrupted: messages that are still in {}-wal are left out", database.display());
    assert_eq!(bag.warnings(), [want]);
}

#[test]
fn a_bag_that_holds_less_than_its_metadata_says_is_read_with_a_warning() {
    let folder = bare("mcap_split");
    let text = std::fs::read_to_string(variant("mcap_split").join("metadata.yaml")).unwrap();
    let text = text.replace("  - mcap_split_1.mcap\n", "");
    std::fs::write(folder.path().join("metadata.yaml"), text).unwrap();
    let bag = BagReader::open(folder.path()).unwrap();
    assert_eq!(told(&bag).len(), 3);
    assert_eq!(bag.warnings(), ["the bag's metadata counts 6 messages, its files hold 3"]);
}

#[test]
fn a_file_that_the_metadata_lists_and_nobody_has_is_named() {
    let folder = bare("db3_split");
    std::fs::copy(variant("db3_split").join("metadata.yaml"), folder.path().join("metadata.yaml")).unwrap();
    let gone = folder.path().join("db3_split_1.db3");
    std::fs::remove_file(&gone).unwrap();
    let error = BagReader::open(folder.path()).err().unwrap().to_string();
    assert_eq!(error, format!("bag file: No such file or directory (os error 2): {}", gone.display()));
}
