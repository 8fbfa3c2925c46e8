//! Gripper goals over real DDS, to action servers on CycloneDDS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "ros2/peer.rs"]
mod peer;

use std::sync::atomic::Ordering;

use peer::{PATIENCE, Robot, domain};
use serde_json::json;
use vla_runtime::drive::gripper::GripperGoal;
use vla_runtime::drive::ros::{Dds, DdsSession, DdsSettings, GripperClient, Network, Services, Transport as _};
use vla_runtime::profile::GripperAction;

fn client(name: &str, action: &str, kind: GripperAction) -> (DdsSession, GripperClient) {
    let settings = DdsSettings { domain: domain(), network: Network::Localhost, services: Services::Cyclone };
    let mut node = Dds::join(settings, "/arm", name).unwrap();
    let client = node.gripper(action, kind).unwrap();
    (node.start().unwrap(), client)
}

fn server(action: &str, kind: &str) -> Robot {
    Robot::start(&json!({"hear": [], "send": [], "serve": [{
        "name": format!("{action}/_action/send_goal"),
        "request": format!("{kind}SendGoalRequest"),
        "response": format!("{kind}SendGoalResponse"),
        "message": {"accepted": true},
    }]}))
}

fn goal(position: f64) -> GripperGoal {
    GripperGoal { joint: "finger".to_owned(), position, max_effort: 12.5 }
}

#[test]
fn a_goal_reaches_the_gripper_of_either_distribution() {
    for (kind, action, name) in [
        (GripperAction::GripperCommand, "/old/gripper_cmd", "GripperCommand"),
        (GripperAction::ParallelGripperCommand, "/new/gripper_cmd", "ParallelGripperCommand"),
    ] {
        let (_session, client) = client(&name.to_lowercase(), action, kind);
        let (sender, receiver) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            let robot = server(action, name);
            let got = robot.hear(&format!("{action}/_action/send_goal"), |_| true);
            sender.send(got["goal"]["command"].clone()).unwrap();
        });
        let got = loop {
            client.goals.publish(goal(0.0375)).unwrap();
            if let Ok(got) = receiver.recv_timeout(PATIENCE / 40) {
                break got;
            }
            assert!(!server.is_finished(), "the server heard nothing");
        };
        let position = if got["position"].is_array() { &got["position"][0] } else { &got["position"] };
        assert_eq!(*position, 0.0375);
        match kind {
            GripperAction::GripperCommand => assert_eq!(got["max_effort"], 12.5),
            GripperAction::ParallelGripperCommand => {
                assert_eq!((&got["name"], &got["effort"]), (&json!(["finger"]), &json!([12.5])));
            }
        }
    }
}

#[test]
fn a_goal_that_nobody_takes_is_said_to_be_lost() {
    let (_session, client) = client("lonely", "/nobody/gripper_cmd", GripperAction::GripperCommand);
    client.goals.publish(goal(0.5)).unwrap();
    for _ in 0..200 {
        if client.lost.load(Ordering::Relaxed) {
            return;
        }
        std::thread::park_timeout(PATIENCE / 400);
    }
    panic!("nobody said so");
}
