//! Damaged bags: what is whole is read where the end is missing; everything else is an error, and never a panic.

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;

fn open_error(path: &Path) -> String {
    let error = BagReader::open(path).err().unwrap().to_string();
    error.replace(&path.parent().unwrap().display().to_string(), "")
}

fn said(bag: &BagReader) -> Vec<String> {
    let messages = bag.messages().map(Result::unwrap);
    messages.map(|message| message.decode::<StringMessage>().unwrap().data).collect()
}

#[test]
fn a_file_of_another_kind_is_told_by_its_first_bytes() {
    let (_folder, path) = in_file(b"SQLite format 4\0 and more");
    assert_eq!(
        open_error(&path),
        "not a bag: the first bytes are [53, 51, 4c, 69, 74, 65, 20, 66, 6f, 72, 6d, 61, 74, 20, 34, 00], wanted those of \
         an MCAP file or an SQLite database: /run.mcap"
    );
    let (_folder, path) = in_file(b"");
    let want = "not a bag: the first bytes are [], wanted those of an MCAP file or an SQLite database: /run.mcap";
    assert_eq!(open_error(&path), want);
    let (_folder, path) = in_file(&zstd::encode_all(&b"#!rosbag"[..], 3).unwrap());
    assert!(open_error(&path).starts_with("not a bag: the first bytes are [23, 21, "));
}

#[test]
fn a_recording_that_lost_power_is_read_as_far_as_it_is_whole() {
    let options = || WriteOptions::new().chunk_size(Some(1)).compression(None);
    let bytes = mcap_bytes(options(), &[(5, text("pick")), (6, text("place")), (7, text("push"))]);
    let chunks: Vec<_> = (8..bytes.len() - 9)
        .filter(|&at| bytes[at] == 0x06 && (5..8_u64).any(|time| bytes[at + 9..at + 17] == time.to_le_bytes()))
        .collect();
    let chunk_end = chunks[1] + 9 + bytes[chunks[1] + 1] as usize;
    let mut zeros = bytes[..chunk_end].to_vec();
    zeros.resize(chunk_end + 4096, 0);
    let cut_in_third = bytes[..chunks[2] + 30].to_vec();
    for (what, left) in [("zeros", zeros), ("half a chunk", cut_in_third), ("nothing", bytes[..chunk_end].to_vec())] {
        let (folder, path) = in_file(&left);
        let bag = BagReader::open(&path).unwrap();
        assert_eq!(said(&bag), ["pick", "place"], "{what}");
        let counts: Vec<_> = bag.topics().map(|topic| (topic.name.as_str(), topic.count)).collect();
        assert_eq!(counts, [("/a", 1), ("/b", 1)], "{what}");
        let want = format!(
            "the recorder was interrupted: the file ends without its closing records, and what stood behind byte \
             {chunk_end} of {} is lost: {}/run.mcap",
            left.len(),
            folder.path().display()
        );
        assert_eq!(bag.warnings(), [want], "{what}");
    }
}

#[test]
fn a_file_that_lacks_only_its_last_bytes_has_every_message() {
    let bytes = mcap_bytes(WriteOptions::new(), &[(5, text("pick")), (6, text("place"))]);
    let (_folder, path) = in_file(&bytes[..bytes.len() - 1]);
    let bag = BagReader::open(&path).unwrap();
    assert_eq!((said(&bag).len(), bag.warnings().len()), (2, 1));
    let (_folder, path) = in_file(&bytes);
    assert_eq!(BagReader::open(&path).unwrap().warnings(), [""; 0]);
}

#[test]
fn a_chunk_with_a_changed_byte_is_an_error() {
    for compression in [None, Some(Compression::Lz4)] {
        let mut bytes =
            mcap_bytes(WriteOptions::new().compression(compression), &[(5, text("pick")), (6, text("push"))]);
        let at = bytes.windows(4).position(|window| window == b"push").unwrap();
        bytes[at + 1] = b'a';
        let (_folder, path) = in_file(&bytes);
        let bag = BagReader::open(&path).unwrap();
        let error = bag.messages().next().unwrap().err().unwrap().to_string();
        let is_told = error.contains(": chunk has the checksum ") || error.contains(": chunk does not unpack: ");
        assert!(is_told, "{error}");
    }
}

#[test]
fn a_chunk_without_a_checksum_is_not_checked() {
    let options = WriteOptions::new().compression(None).calculate_chunk_crcs(false);
    let mut bytes = mcap_bytes(options, &[(5, text("push"))]);
    let at = bytes.windows(4).position(|window| window == b"push").unwrap();
    bytes[at + 1] = b'a';
    let (_folder, path) = in_file(&bytes);
    assert_eq!(said(&BagReader::open(&path).unwrap()), ["pash"]);
}

#[test]
fn a_record_that_is_longer_than_its_chunk_is_told_by_its_place() {
    let options = WriteOptions::new().compression(None).calculate_chunk_crcs(false);
    let mut bytes = mcap_bytes(options, &[(5, text("x"))]);
    let at = (8..bytes.len()).find(|&at| bytes[at] == 0x05 && bytes[at + 15..at + 23] == 5_u64.to_le_bytes()).unwrap();
    // Channel, sequence and two times: 22 bytes; then the text in CDR.
    let length = 22 + text("x").len();
    bytes[at + 1] += 7;
    let (_folder, path) = in_file(&bytes);
    let bag = BagReader::open(&path).unwrap();
    let error = bag.messages().next().unwrap().err().unwrap().to_string();
    let want =
        format!("MCAP chunk is cut off: its record at byte {at} wants {} bytes, {length} are left: ", length + 7);
    assert!(error.starts_with(&want), "{error}");
}

#[test]
fn an_empty_message_and_a_damaged_one_are_errors_of_their_own() {
    let mut packed = zstd::encode_all(&text("pick up the red block")[..], 3).unwrap();
    packed.truncate(packed.len() - 3);
    let (_folder, path) = in_file(&mcap_bytes(WriteOptions::new(), &[(5, vec![]), (6, packed), (7, text("push"))]));
    let bag = BagReader::open(&path).unwrap();
    let results: Vec<_> = bag
        .messages()
        .map(|message| message.and_then(|m| m.decode::<StringMessage>().map(|text| text.data)))
        .map(|result| result.map_err(|e| e.to_string()))
        .collect();
    let empty = "topic `/a`, message logged at 5 ns: std_msgs/msg/String: got 0 bytes, a CDR payload has at least 4";
    assert_eq!(results[0], Err(empty.to_owned()));
    let damaged = "topic `/b`, message logged at 6 ns: zstd payload: ";
    assert!(results[1].as_ref().is_err_and(|e| e.starts_with(damaged)), "{results:?}");
    assert_eq!(results[2], Ok("push".to_owned()));
}

/// A database in which `sql` has changed the one of the variants.
fn database(sql: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.db3");
    std::fs::copy(recorded("variants/db3_plain/db3_plain.db3"), &path).unwrap();
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (folder, path)
}

#[test]
fn a_database_that_is_no_bag_says_why() {
    for (sql, reason) in [
        ("DROP TABLE topics", "it is no bag, table `topics` is missing"),
        (
            "DROP TABLE messages; CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n) \
             SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM n",
            "it is no bag, table `messages` is missing",
        ),
        (
            "DROP TABLE messages; CREATE VIRTUAL TABLE messages USING rtree(topic_id, timestamp, data)",
            "it is no bag, table `messages` is missing",
        ),
        ("UPDATE messages SET topic_id = 77 WHERE id = 2", "message 2 is of unknown topic 77"),
        (
            "UPDATE messages SET timestamp = 'noon' WHERE id = 2",
            "Invalid column type Text at index: 0, name: timestamp",
        ),
        ("ALTER TABLE topics RENAME COLUMN type TO kind", "no such column: type in SELECT id, name, type, "),
    ] {
        let (_folder, path) = database(sql);
        let error = open_error(&path);
        assert!(error.starts_with(&format!("SQLite bag: {reason}")), "{error}");
    }
}

#[test]
fn a_value_that_is_no_payload_ends_the_messages_with_an_error() {
    let (_folder, path) = database("UPDATE messages SET data = 12 WHERE id = 3");
    let bag = BagReader::open(&path).unwrap();
    let results: Vec<_> = bag.messages().map(|message| message.map(|_| ()).map_err(|e| e.to_string())).collect();
    assert_eq!(results.len(), 3);
    let want = "SQLite bag: message 3: Invalid column type Integer at index: 0, name: data: ";
    assert!(results[2].as_ref().is_err_and(|e| e.starts_with(want)), "{results:?}");
}

#[test]
fn a_message_that_is_computed_is_no_larger_than_a_picture() {
    let (_folder, path) = database(
        "DROP TABLE messages; CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, \
         data AS (zeroblob(500000000))); INSERT INTO messages(topic_id, timestamp) VALUES (1, 5)",
    );
    let bag = BagReader::open(&path).unwrap();
    let error = bag.messages().next().unwrap().err().unwrap().to_string();
    assert!(error.starts_with("SQLite bag: message 1: string or blob too big: "), "{error}");
}

#[test]
fn pages_that_lead_to_the_same_page_again_and_again_end_in_an_error() {
    let (_folder, path) = database(
        "DELETE FROM messages; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
         INSERT INTO messages SELECT i, 1, i, x'00' FROM n",
    );
    let root: u32 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'", [], |row| row.get(0))
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Pages have 512 bytes. An inner page of a table (5) has its last child at byte 8, the number of its other children
    // at byte 3, and at byte 12 where the cells stand that begin with them (<https://www.sqlite.org/fileformat.html>).
    let page = |number: usize| (number - 1) * 512;
    let number = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let cells = |bytes: &[u8], inner: usize| -> Vec<usize> {
        assert_eq!(bytes[inner], 5);
        let cell =
            |i: usize| inner + usize::from(bytes[inner + 12 + 2 * i]) * 256 + usize::from(bytes[inner + 13 + 2 * i]);
        (0..usize::from(bytes[inner + 4])).map(cell).collect()
    };
    let root = page(root as usize);
    let pages: Vec<usize> = cells(&bytes, root)[..4].iter().map(|cell| number(&bytes, *cell)).collect();
    let inner = bytes[root..root + 512].to_vec();
    for (from, to) in
        [(root, pages[0]), (page(pages[0]), pages[1]), (page(pages[1]), pages[2]), (page(pages[2]), pages[3])]
    {
        bytes[from..from + 512].copy_from_slice(&inner);
        for cell in cells(&bytes, from).into_iter().chain([from + 8]) {
            bytes[cell..cell + 4].copy_from_slice(&(to as u32).to_be_bytes());
        }
    }
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(open_error(&path), "SQLite bag: it gives more rows than its bytes can hold: /run.db3");
}

#[test]
fn a_database_that_was_cut_off_is_an_error() {
    let bytes = std::fs::read(recorded("variants/db3_plain/db3_plain.db3")).unwrap();
    let (_folder, path) = in_file(&bytes[..bytes.len() - 1500]);
    assert_eq!(open_error(&path), "SQLite bag: database disk image is malformed: /run.mcap");
}

#[test]
fn a_topic_of_a_database_in_another_encoding_is_not_taken_for_cdr() {
    let (_folder, path) = database("UPDATE topics SET serialization_format = 'json' WHERE name = '/vla/instruction'");
    let bag = BagReader::open(&path).unwrap();
    let message = bag.messages().next().unwrap().unwrap();
    let want = "topic `/vla/instruction` is std_msgs/msg/String in json, wanted std_msgs/msg/String";
    assert_eq!(message.decode::<StringMessage>().unwrap_err().to_string(), want);
}

proptest! {
    #[test]
    fn bytes_that_are_no_bag_never_panic(
        magic in prop::sample::select(vec![&b""[..], mcap::MAGIC, b"SQLite format 3\0", &[0x28, 0xb5, 0x2f, 0xfd]]),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        walk(&[magic, &bytes].concat());
    }

    #[test]
    fn a_damaged_bag_never_panics(
        packed in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let compression = packed.then_some(Compression::Zstd);
        let options = WriteOptions::new().compression(compression).chunk_size(Some(64)).calculate_chunk_crcs(false);
        let bytes = mcap_bytes(options, &[(5, text("pick")), (3, text("place")), (9, text("push"))]);
        walk(&changed(bytes, &changes));
    }

    #[test]
    fn a_damaged_recording_never_panics(
        name in prop::sample::select(vec![
            "db3_plain/db3_plain.db3",
            "db3_message/db3_message.db3",
            "db3_file/db3_file.db3.zstd",
            "mcap_message/mcap_message.mcap",
            "mcap_file/mcap_file.mcap.zstd",
        ]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        kept in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = changed(std::fs::read(recorded("variants").join(name)).unwrap(), &changes);
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        walk(&bytes);
    }
}

fn changed(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

fn walk(bytes: &[u8]) {
    let (_folder, path) = in_file(bytes);
    if let Ok(bag) = BagReader::open(&path) {
        for message in bag.messages().flatten() {
            // Whatever it says, it says so without a panic.
            let _ = message.decode::<StringMessage>();
        }
    }
}
