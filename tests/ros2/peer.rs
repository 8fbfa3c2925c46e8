//! The scripted robot of `tests/ros2_peer/robot.py`: CycloneDDS, loopback only, a domain per test process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Long enough for a busy machine; a test that passes never waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Domains up to 101 keep clear of the ports that Linux gives to clients.
pub fn domain() -> u16 {
    1 + u16::try_from(std::process::id() % 100).unwrap()
}

/// A running robot; it ends when dropped.
pub struct Robot {
    child: Child,
    heard: Receiver<Value>,
    counts: RefCell<BTreeMap<String, usize>>,
    _script: tempfile::NamedTempFile,
}

impl Robot {
    /// Starts a robot that follows `script`, and waits until it is on the network.
    pub fn start(script: &Value) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ros2_peer");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(script.to_string().as_bytes()).unwrap();
        let mut child = Command::new(python())
            .arg(folder.join("robot.py"))
            .arg(domain().to_string())
            .arg(file.path())
            .env("CYCLONEDDS_URI", format!("file://{}", folder.join("loopback.xml").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let robot = Self { child, heard, counts: RefCell::default(), _script: file };
        robot.hear("ready", |_| true);
        robot
    }

    /// The next message on `topic` that is `wanted`.
    #[allow(clippy::disallowed_methods, reason = "the end of the wait, however much is heard meanwhile")]
    pub fn hear(&self, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let end = Instant::now() + PATIENCE;
        loop {
            let heard = self.heard.recv_timeout(end.saturating_duration_since(Instant::now()));
            if let Ok(heard) = &heard {
                *self.counts.borrow_mut().entry(heard["topic"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            match heard {
                Ok(heard) if heard["topic"] == topic && wanted(&heard["message"]) => return heard["message"].clone(),
                Ok(heard) => last = heard,
                Err(RecvTimeoutError::Timeout) => panic!("the robot heard no such message on {topic}; last: {last}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the robot ended; last heard: {last}"),
            }
        }
    }

    /// Ends the robot without a farewell to anybody.
    #[allow(dead_code, reason = "each test program uses its part of this file")]
    pub fn kill(mut self) {
        self.child.kill().unwrap();
    }

    /// How many messages on `topic` came while others were waited for.
    #[allow(dead_code, reason = "each test program uses its part of this file")]
    pub fn heard_so_far(&self, topic: &str) -> usize {
        self.counts.borrow().get(topic).copied().unwrap_or(0)
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/peers/bin/python");
    assert!(python.exists(), "the ROS 2 peer is missing: run scripts/test-peers");
    python
}
