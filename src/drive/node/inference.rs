//! The thread that owns the policy: it loads it, one observation in, one answer out, and lets go of it.

use std::io;
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use crate::drive::answer::{Answer, Answered};
use crate::drive::clock::Stopwatch;
use crate::engine::RequestId;
use crate::time::Span;
use crate::types::{Inferred, Observation};

/// What the thread has done.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// The policy is loaded and warm after this time, or is not, and why.
    Loaded(Result<Span, String>),
    /// There is no policy any more.
    Unloaded,
    /// The answer to one request.
    Inferred { request: RequestId, result: Result<Inferred, String> },
}

enum Work {
    Load,
    Unload,
    Infer(RequestId, Box<Observation>),
}

/// The running thread.
pub(super) struct InferenceThread {
    work: Sender<Work>,
    replies: Receiver<Reply>,
    handle: JoinHandle<()>,
}

/// The thread is gone, or was asked for too much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAsked;

impl InferenceThread {
    /// `load` makes a policy that is warm: its first answer takes no longer than the others.
    pub fn start<P: Answer>(load: impl FnMut() -> Result<P, String> + Send + 'static) -> io::Result<Self> {
        // The engine asks when the model is idle, and one change of the lifecycle may follow: a full channel is a bug
        // of ours, and a reply always gets its room.
        let (work, asked) = bounded(2);
        let (reply, replies) = bounded(1);
        let run = move || run(load, &asked, &reply);
        let handle = Builder::new().name("inference".to_owned()).spawn(run)?;
        Ok(Self { work, replies, handle })
    }

    /// Asks for a policy without waiting for it.
    pub fn load(&self) -> Result<(), NotAsked> {
        self.send(Work::Load)
    }

    /// Lets the policy go.
    pub fn unload(&self) -> Result<(), NotAsked> {
        self.send(Work::Unload)
    }

    /// Asks for actions without waiting for them.
    pub fn ask(&self, request: RequestId, observation: Observation) -> Result<(), NotAsked> {
        self.send(Work::Infer(request, Box::new(observation)))
    }

    fn send(&self, work: Work) -> Result<(), NotAsked> {
        self.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NotAsked,
        })
    }

    /// The replies; disconnected once the thread has panicked.
    pub fn replies(&self) -> &Receiver<Reply> {
        &self.replies
    }

    /// Waits for the last inference to end; false where the thread panicked.
    pub fn join(self) -> bool {
        drop((self.work, self.replies));
        self.handle.join().is_ok()
    }
}

fn run<P: Answer>(mut load: impl FnMut() -> Result<P, String>, asked: &Receiver<Work>, reply: &Sender<Reply>) {
    let mut policy = None;
    for work in asked {
        let watch = Stopwatch::start();
        let done = match work {
            Work::Load => Reply::Loaded(load().map(|loaded| {
                policy = Some(loaded);
                watch.elapsed()
            })),
            Work::Unload => {
                policy = None;
                Reply::Unloaded
            }
            Work::Infer(request, observation) => {
                let answered = match &mut policy {
                    Some(policy) => policy.answer(&observation),
                    None => Err("no policy is loaded".to_owned()),
                };
                let result = answered.map(|Answered { chunk, kept_tokens, .. }| Inferred {
                    chunk,
                    kept_tokens,
                    inference_delay: watch.elapsed(),
                });
                Reply::Inferred { request, result }
            }
        };
        if reply.send(done).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::noise::Noise;
    use crate::time::Stamp;
    use crate::types::Chunk;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct Echo;

    impl Answer for Echo {
        fn answer(&mut self, observation: &Observation) -> Result<Answered, String> {
            match &*observation.task {
                "panic" => panic!("as asked"),
                "fail" => Err("as asked".to_owned()),
                _ => Ok(Answered {
                    chunk: Chunk::new(observation.state.clone().unwrap(), 2).unwrap(),
                    kept_tokens: 3,
                    stages: vec![],
                }),
            }
        }
    }

    fn observation(task: &str) -> Observation {
        let stamp = Stamp::from_nanos(5);
        Observation {
            stamp,
            frame_id: String::new(),
            frames: vec![],
            optics: Vec::new(),
            state: Some(vec![1.5, -2.0]),
            task: Arc::from(task),
            noise: Noise::default(),
        }
    }

    fn reply(thread: &InferenceThread) -> Reply {
        thread.replies().recv_timeout(PATIENCE).unwrap()
    }

    fn loaded() -> InferenceThread {
        let thread = InferenceThread::start(|| Ok(Echo)).unwrap();
        thread.load().unwrap();
        assert!(matches!(reply(&thread), Reply::Loaded(Ok(_))));
        thread
    }

    #[test]
    fn a_policy_that_does_not_load_or_was_let_go_answers_nothing() {
        let mut names = ["second", "first"].map(str::to_owned).to_vec();
        let load = move || if names.pop().unwrap() == "first" { Err("as asked".to_owned()) } else { Ok(Echo) };
        let thread = InferenceThread::start(load).unwrap();
        thread.load().unwrap();
        assert_eq!(reply(&thread), Reply::Loaded(Err("as asked".to_owned())));
        let none = || Reply::Inferred { request: RequestId(3), result: Err("no policy is loaded".to_owned()) };
        thread.ask(RequestId(3), observation("go")).unwrap();
        assert_eq!(reply(&thread), none());
        thread.load().unwrap();
        assert!(matches!(reply(&thread), Reply::Loaded(Ok(_))));
        thread.unload().unwrap();
        thread.ask(RequestId(3), observation("go")).unwrap();
        assert_eq!([reply(&thread), reply(&thread)], [Reply::Unloaded, none()]);
    }

    #[test]
    fn each_observation_gets_its_answer() {
        let thread = loaded();
        thread.ask(RequestId(4), observation("go")).unwrap();
        let Reply::Inferred { request, result } = reply(&thread) else { panic!("no answer") };
        assert_eq!((request, result.unwrap().chunk.values()), (RequestId(4), &[1.5, -2.0][..]));
        thread.ask(RequestId(5), observation("fail")).unwrap();
        let failed = Reply::Inferred { request: RequestId(5), result: Err("as asked".to_owned()) };
        assert_eq!(reply(&thread), failed);
        assert!(thread.join());
    }

    #[test]
    fn a_panic_closes_the_answers() {
        let thread = loaded();
        thread.ask(RequestId(0), observation("panic")).unwrap();
        assert!(thread.replies().recv_timeout(PATIENCE).is_err());
        assert_eq!(thread.ask(RequestId(1), observation("go")), Err(NotAsked));
        assert!(!thread.join());
    }
}
