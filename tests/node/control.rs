//! A program on CycloneDDS configures, activates, stops and starts the node, and runs its policy.

use serde_json::{Value, json};

use super::peer::Robot;
use super::{Node, remaps};

/// The node's services as another program on CycloneDDS reaches them.
struct Caller(&'static str);

impl Caller {
    /// Asks until there is an answer that is `wanted`; a request is a message, its answer another one.
    fn ask(&self, service: &str, kind: &str, fields: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        let (node, mut message) = (self.0, json!({"guid": 1_u64 << 40, "seq": 7}));
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let reply = format!("rr/cell/{node}/{service}Reply");
        let robot = Robot::start(&json!({
            "hear": [{"topic": reply, "type": format!("{kind}Response")}],
            "send": [{"topic": format!("rq/cell/{node}/{service}Request"), "type": format!("{kind}Request"),
                "rate_hz": 5, "message": message}],
        }));
        robot.hear(&reply, wanted)
    }

    fn change(&self, transition: &Value) {
        self.ask("change_state", "ChangeState", &json!({"transition": transition}), |reply| reply["success"] == true);
    }

    fn state(&self) -> String {
        let reply = self.ask("get_state", "GetState", &json!({}), |_| true);
        format!("{} {}", reply["current_state"]["id"], reply["current_state"]["label"].as_str().unwrap())
    }

    fn pull(&self, service: &str) -> Value {
        self.ask(service, "Trigger", &json!({}), |_| true)
    }
}

/// A robot with a camera and joints and without a voice.
fn quiet_robot(prefix: &str, hear: &Value) -> Robot {
    let image = json!({"header": {"frame_id": "optical"}, "height": 2, "width": 3, "encoding": "rgb8",
        "is_bigendian": 0, "step": 9, "data": {"pattern": 18}});
    let joints = json!({"header": {}, "name": ["jc", "jb", "ja"], "position": [0.25, 1.0, 1.5]});
    Robot::start(&json!({"hear": hear, "send": [
        {"topic": format!("{prefix}/image_raw"), "type": "Image", "rate_hz": 20, "stamp_now": true, "message": image},
        {"topic": format!("{prefix}/joints"), "type": "JointState", "rate_hz": 50, "stamp_now": true,
            "message": joints},
    ]}))
}

#[test]
fn a_program_on_another_dds_leads_the_node_through_its_life() {
    let robot = quiet_robot(
        "/led",
        &json!([
            {"topic": "/cell/led/action_chunk", "type": "ActionChunk"},
            {"topic": "/cell/led/transition_event", "type": "TransitionEvent"},
        ]),
    );
    let remaps = remaps("/led", "led");
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let node = Node::start("    dry_run: false\n    autostart: false\n    task: pick\n", &remaps);
    let caller = Caller("led");
    assert_eq!(caller.state(), "1 unconfigured");
    let ways = caller.ask("get_available_transitions", "GetAvailableTransitions", &json!({}), |_| true);
    let ways: Vec<String> = ways["available_transitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|way| format!("{} {} to {}", way["transition"]["id"], way["transition"]["label"], way["goal_state"]["id"]))
        .collect();
    assert_eq!(ways, ["1 \"configure\" to 10", "5 \"shutdown\" to 12"]);
    caller.change(&json!({"id": 1}));
    let event = robot.hear("/cell/led/transition_event", |event| event["transition"]["id"] == 10);
    assert_eq!((&event["start_state"]["label"], &event["goal_state"]["id"]), (&json!("configuring"), &json!(2)));
    assert_eq!(robot.heard_so_far("/cell/led/action_chunk"), 0, "an inactive node infers nothing");
    caller.change(&json!({"label": "activate"}));
    robot.hear("/cell/led/action_chunk", |chunk| chunk["verdict"] == "sent");
    assert_eq!(caller.pull("stop")["success"], true);
    let stopped = "rejected: stopped; it moves again after ~/start";
    robot.hear("/cell/led/action_chunk", |chunk| chunk["verdict"] == stopped);
    assert_eq!(caller.pull("start")["message"], "the robot may move");
    robot.hear("/cell/led/action_chunk", |chunk| chunk["verdict"] == "sent");
    caller.change(&json!({"label": "deactivate"}));
    assert_eq!(caller.state(), "2 inactive");
    assert_eq!(caller.pull("start")["message"], "the node is not active");
    let (code, log) = node.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_goal_of_another_dds_runs_the_policy_until_it_is_canceled() {
    let robot = quiet_robot(
        "/run",
        &json!([
            {"topic": "/cell/runner/action_chunk", "type": "ActionChunk"},
            {"topic": "/cell/runner/run_policy/_action/feedback", "type": "RunPolicyFeedbackMessage"},
            {"topic": "/cell/runner/run_policy/_action/status", "type": "GoalStatusArray", "latched": true},
        ]),
    );
    let remaps = remaps("/run", "runner");
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let node = Node::start("    dry_run: false\n", &remaps);
    let caller = Caller("runner");
    let goal_id = json!({"uuid": (1..=16).collect::<Vec<u8>>()});
    let goal = json!({"goal_id": goal_id, "goal": {"prompt": "wave"}});
    caller.ask("run_policy/_action/send_goal", "RunPolicySendGoal", &goal, |reply| reply["accepted"] == true);
    robot.hear("/cell/runner/action_chunk", |chunk| chunk["verdict"] == "sent" && chunk["task"] == "wave");
    let feedback = robot.hear("/cell/runner/run_policy/_action/feedback", |_| true);
    assert_eq!((&feedback["goal_id"], &feedback["feedback"]["state"]), (&goal_id, &json!("moving")));
    let cancel = json!({"goal_info": {"goal_id": goal_id}});
    let canceled = |reply: &Value| reply["return_code"] == 0;
    let reply = caller.ask("run_policy/_action/cancel_goal", "CancelGoal", &cancel, canceled);
    assert_eq!(reply["goals_canceling"][0]["goal_id"], goal_id);
    let asked = json!({"goal_id": goal_id});
    let result = caller.ask("run_policy/_action/get_result", "RunPolicyGetResult", &asked, |_| true);
    assert_eq!((&result["status"], &result["result"]["success"]), (&json!(5), &json!(false)));
    assert_eq!(result["result"]["reason"], "canceled");
    robot.hear("/cell/runner/run_policy/_action/status", |status| status["status_list"][0]["status"] == 5);
    let (code, log) = node.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}

/// A person who says one thing again and again, or once for whoever comes later.
fn person(topic: &str, kind: &str, rate_hz: u32, message: &Value) -> Robot {
    Robot::start(&json!({"hear": [], "send": [
        {"topic": topic, "type": kind, "rate_hz": rate_hz, "message": message},
    ]}))
}

#[test]
fn an_estop_a_deadman_and_a_takeover_of_another_dds_stop_the_robot() {
    let robot = quiet_robot("/held", &json!([{"topic": "/cell/held/action_chunk", "type": "ActionChunk"}]));
    let verdict = |wanted: &str| robot.hear("/cell/held/action_chunk", |chunk| chunk["verdict"] == wanted);
    let remaps = remaps("/held", "held");
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let switches = "    estop: /held/estop\n    estop_timeout_ms: 1500\n    deadman: /held/joy\n    deadman_button: 2\n    \
                    deadman_timeout_ms: 1500\n    deadman_resumes: true\n    takeover: /held/teleop\n";
    let drives = person("/held/teleop", "Bool", 0, &json!({"data": true}));
    let node = Node::start(&format!("    dry_run: false\n    task: pick\n{switches}"), &remaps);
    verdict("rejected: an e-stop heartbeat was never heard");
    let estop = person("/held/estop", "Bool", 20, &json!({"data": false}));
    verdict("rejected: the deadman is not held");
    let _held = person("/held/joy", "Joy", 20, &json!({"header": {}, "axes": [0.5], "buttons": [0, 0, 1]}));
    verdict("rejected: teleoperation has taken over");
    drop(drives);
    let _returned = person("/held/teleop", "Bool", 0, &json!({"data": false}));
    verdict("sent");
    estop.kill();
    verdict("rejected: e-stop: its heartbeat was lost");
    let _estop = person("/held/estop", "Bool", 20, &json!({"data": false}));
    let released = "e-stop: its heartbeat was lost before; it moves again after ~/estop_reset and ~/start";
    verdict(&format!("rejected: {released}"));
    let caller = Caller("held");
    assert_eq!(caller.pull("start")["message"], released);
    assert_eq!(caller.pull("estop_reset")["success"], true);
    verdict("rejected: not started; it moves after ~/start");
    assert_eq!(caller.pull("start")["success"], true);
    verdict("sent");
    let (code, log) = node.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}
