//! Ten thousand orders of faults and of what people do about them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::*;
use crate::interlock::{Authority, Reason};

const ORDERS: u64 = 10_000;
/// Events in each, 1 to 60 ms apart.
const EVENTS: usize = 24;

/// Numbers below a bound.
struct Dice(ChaCha8Rng);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0.next_u32() % sides
    }

    fn pick<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[self.roll(N as u32) as usize]
    }
}

/// What the order has done so far with the e-stop.
#[derive(Default)]
struct Watched {
    /// An e-stop was in force and nobody has reset it.
    holds: bool,
    /// For how many ms the robot may not move.
    stopped_ms: u32,
    /// The clock as it was when somebody looked last, and for how many ms.
    clock_ms: f64,
    steady_ms: u32,
}

impl Watched {
    /// Lets time pass, ms by ms: nothing is commanded where the robot may not move but the one command that brakes, and
    /// it may not move between an e-stop and its reset.
    fn run(&mut self, scene: &mut Scene, length_ms: u32) {
        for _ in 0..length_ms {
            let commands = scene.arm.commands;
            scene.run(1);
            self.look(scene, scene.arm.commands - commands);
        }
    }

    fn look(&mut self, scene: &Scene, commanded: usize) {
        let authority = scene.engine.authority(at(scene.now()));
        // The engine has looked at the same time.
        let is_seen = scene.ms.is_multiple_of(TICK_MS);
        self.holds |= is_seen && matches!(authority, Authority::Stopped(Reason::EStop(_)));
        assert!(!(self.holds && authority == Authority::Moves), "it may move before the e-stop is reset");
        self.stopped_ms = if authority == Authority::Moves { 0 } else { self.stopped_ms + 1 };
        self.steady_ms = if scene.clock_ms == self.clock_ms { self.steady_ms + 1 } else { 0 };
        self.clock_ms = scene.clock_ms;
        // Both are found at the next tick: a silence, and a clock that steps while it brakes, in whose time it brakes then.
        if self.stopped_ms.min(self.steady_ms) > TICK_MS {
            assert_eq!(commanded, 0, "{authority:?}");
        }
    }

    fn ask(&mut self, scene: &mut Scene, input: Input) {
        let mut effects = Vec::new();
        let taken = scene.engine.interlock(at(scene.now()), input, &mut effects);
        scene.follow(effects);
        if input == Input::EStopReset && taken.is_ok() {
            self.holds = false;
        }
    }
}

/// Runs one order; a failed assertion names its seed.
fn order(seed: u64) {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let (mut scene, mut watched) = (Scene::new(), Watched::default());
    watched.run(&mut scene, 120 + dice.roll(100));
    for _ in 0..EVENTS {
        match dice.roll(16) {
            0 | 1 => {
                scene.joints = dice.pick([Joints::Come, Joints::Come, Joints::Stop, Joints::Partial, Joints::Jump])
            }
            2 | 3 => scene.camera = dice.pick([Camera::Comes, Camera::Comes, Camera::Stops, Camera::Repeats]),
            4 | 5 => scene.model = dice.pick([Model::Answers, Model::Answers, Model::Stalls, Model::YieldsNan]),
            6 => scene.estop = dice.pick([Some(false), Some(true), None]),
            7 => scene.deadman = dice.pick([Some(true), Some(false), None]),
            8 => scene.clock_ms += dice.pick([-5000.0, -70.0, 5000.0]),
            9 => scene.give(Event::Stop),
            10 => watched.ask(&mut scene, Input::Stop),
            11 => watched.ask(&mut scene, dice.pick([Input::Deactivate, Input::Activate])),
            // People put right what they find.
            _ => {
                (scene.joints, scene.camera, scene.model) = (Joints::Come, Camera::Comes, Model::Answers);
                (scene.estop, scene.deadman) = (Some(false), Some(true));
                watched.run(&mut scene, 30);
                for input in [Input::Activate, Input::EStopReset, Input::Start] {
                    watched.ask(&mut scene, input);
                }
            }
        }
        watched.run(&mut scene, 1 + dice.roll(60));
    }
    scene.lives = false;
    scene.run(800);
    assert!(!scene.arm.moves(), "it ends at rest");
}

#[test]
fn in_no_order_of_faults_is_a_command_outside_the_limits_or_out_of_its_time() {
    for seed in 0..ORDERS {
        let failed = std::panic::catch_unwind(|| order(seed)).is_err();
        assert!(!failed, "in the order of seed {seed}");
    }
}
