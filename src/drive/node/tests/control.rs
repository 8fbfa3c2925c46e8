//! What services, actions and switches do to the running node.

use super::*;
use crate::drive::control::{Request, Told, Trigger};
use crate::drive::lifecycle::State;
use crate::drive::runs::{EndStatus, Ended, GoalId};

const GOAL: GoalId = GoalId([7; 16]);

impl Started {
    /// Waits until `look` finds something.
    fn wait<T>(look: impl Fn() -> Option<T>) -> T {
        for _ in 0..1000 {
            if let Some(found) = look() {
                return found;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("nothing came");
    }

    fn asking(&self) -> Asking {
        Self::wait(|| self.control.lock().unwrap().clone())
    }

    fn change(&self, id: u8) -> bool {
        let label = String::new();
        smol::block_on(self.asking().ask(|answer| Request::Change { id, label, answer })).unwrap()
    }

    fn pull(&self, trigger: Trigger) -> Result<String, String> {
        smol::block_on(self.asking().ask(|answer| Request::Trigger { trigger, answer })).unwrap()
    }

    fn begin(&self, goal: GoalId, prompt: &str, max_secs: f64) -> bool {
        let (prompt, max_duration) = (prompt.to_owned(), Span::from_secs(max_secs));
        smol::block_on(self.asking().ask(|answer| Request::Run { goal, prompt, max_duration, answer })).unwrap()
    }

    fn press(&self) {
        Self::wait(|| self.estop.lock().unwrap().as_mut().map(|sink| sink(Ok(true))));
    }

    fn beat(&self) {
        Self::wait(|| self.estop.lock().unwrap().as_mut().map(|sink| sink(Ok(false))));
    }

    fn wait_for(&self, state: State) {
        Self::wait(|| (self.asking().state() == state).then_some(()));
    }

    fn ended(&self) -> Ended {
        let asking = self.asking();
        loop {
            if let Told::Ended(ended) = smol::block_on(asking.told()).unwrap() {
                return ended;
            }
        }
    }

    /// The verdict on a picture of now.
    fn verdict(&self) -> String {
        self.show(Span::from_millis(30.0));
        self.next("/arm/vla_node/action_chunk").1["verdict"].as_str().unwrap().to_owned()
    }
}

fn manual() -> Started {
    Started::with_all(&[("task", ParamValue::String("go".to_owned())), ("autostart", ParamValue::Bool(false))], ROWS)
}

#[test]
fn a_node_that_is_not_started_waits_to_be_configured_and_activated() {
    let node = manual();
    assert_eq!(node.asking().state(), State::Unconfigured);
    assert_eq!(node.pull(Trigger::Start), Err("the node is not active".to_owned()));
    assert!(!node.change(3), "it is not configured");
    assert!(node.change(1));
    assert_eq!(node.asking().state(), State::Inactive);
    node.show(Span::from_millis(30.0));
    assert_eq!(told(&node, "interlock"), "the node is not active");
    assert!(node.change(3));
    assert_eq!(node.verdict(), "sent");
    assert!(node.change(7), "shut down");
    assert_eq!(node.asking().state(), State::Finalized);
    node.end().unwrap();
}

#[test]
fn deactivation_stops_the_robot_and_cleaning_up_lets_the_policy_go() {
    let node = Started::new("go", ROWS);
    assert_eq!(node.verdict(), "sent");
    node.next("/arm/vla_node/command");
    assert!(node.change(4));
    assert_eq!(node.rows_in_a_second().last(), Some(&stop_after_the_first_row()));
    assert!(node.change(2));
    assert_eq!(node.asking().state(), State::Unconfigured);
    assert!(node.change(1) && node.change(3));
    assert_eq!(node.verdict(), "sent", "a policy that was loaded anew");
    node.end().unwrap();
}

#[test]
fn a_stop_stops_the_robot_until_a_start() {
    let node = Started::new("go", ROWS);
    assert_eq!(node.verdict(), "sent");
    node.next("/arm/vla_node/command");
    assert_eq!(node.pull(Trigger::Stop), Ok("stopped; it moves again after ~/start".to_owned()));
    assert_eq!(node.rows_in_a_second().last(), Some(&stop_after_the_first_row()));
    assert_eq!(told(&node, "interlock"), "stopped; it moves again after ~/start");
    assert_eq!(node.pull(Trigger::Start), Ok("the robot may move".to_owned()));
    node.end().unwrap();
}

#[test]
fn an_estop_that_falls_silent_stops_the_robot() {
    let estop = ("estop", ParamValue::String("/estop".to_owned()));
    let timeout = ("estop_timeout_ms", ParamValue::Int(300));
    let node = Started::with_all(&[("task", ParamValue::String("go".to_owned())), estop, timeout], ROWS);
    node.wait_for(State::Active);
    assert_eq!(told(&node, "interlock"), "an e-stop heartbeat was never heard");
    node.beat();
    assert_eq!(node.verdict(), "sent");
    // By then the second row had left.
    assert_eq!(node.rows_in_a_second().last(), Some(&json!([1.0, 0.0])));
    assert_eq!(told(&node, "interlock"), "e-stop: its heartbeat was lost");
    node.press();
    Started::wait(|| (node.pull(Trigger::EStopReset) == Err("e-stop: it was pressed".to_owned())).then_some(()));
    assert_eq!(node.pull(Trigger::Start), Err("e-stop: it was pressed".to_owned()));
    node.end().unwrap();
}

#[test]
fn a_run_instructs_the_robot_and_its_end_takes_the_instruction_back() {
    let node = Started::with_all(&[], ROWS);
    node.wait_for(State::Active);
    assert!(!node.begin(GOAL, "", 1.0), "there is nothing to do");
    assert!(node.begin(GOAL, "wave", 0.6));
    node.show(Span::from_millis(30.0));
    assert_eq!(node.next("/arm/vla_node/action_chunk").1["task"], "wave");
    let want = Ended { goal: GOAL, status: EndStatus::Succeeded, reason: "ran for 0.600 s".to_owned() };
    assert_eq!(node.ended(), want);
    assert_eq!(told(&node, "inference"), "waiting: the instruction is empty");
    node.end().unwrap();
}

#[test]
fn a_run_ends_by_cancel_by_stop_and_by_a_newer_one_and_undoes_no_stop() {
    let node = Started::with_all(&[], ROWS);
    node.wait_for(State::Active);
    assert!(node.begin(GOAL, "wave", 0.0) && node.begin(GoalId([8; 16]), "point", 0.0));
    assert_eq!(node.ended().reason, "a newer goal took its place");
    let cancel = |goal| smol::block_on(node.asking().ask(|answer| Request::Cancel { goal, answer })).unwrap();
    assert_eq!((cancel(GOAL), cancel(GoalId([8; 16]))), (false, true));
    assert_eq!(node.ended().status, EndStatus::Canceled);
    assert!(node.begin(GOAL, "wave", 0.0));
    node.pull(Trigger::Stop).unwrap();
    assert_eq!(node.ended().reason, "stopped; it moves again after ~/start");
    assert!(!node.begin(GOAL, "wave", 0.0), "that is for a person to do");
    node.end().unwrap();
}

#[test]
fn a_policy_that_does_not_load_ends_a_node_that_starts_itself() {
    let deployment = Deployment::check(&bundle(IO, &["front"]), &profile(ROBOT), parameters(&[])).unwrap();
    let names =
        RosArgs::parse(["--ros-args", "-r", "images/front/compressed:=/eye/compressed"].map(str::to_owned), "vla_node");
    let (sent, _received) = channel();
    let (_stop, stopped) = crossbeam::channel::bounded(1);
    let control = Control::default();
    let fake = Fake {
        camera: FrameSink::default(),
        parameters: Served::default(),
        times: Times::default(),
        estop: FlagSink::default(),
        control: Arc::clone(&control),
        sent,
        alive: Arc::new(AtomicBool::new(true)),
    };
    let result = run(&deployment, || Err::<Scripted, _>("no such file".to_owned()), &names.unwrap(), fake, &stopped);
    assert_eq!(result.unwrap_err().to_string(), "the policy cannot be loaded: no such file");
}
