//! The thread that owns the policy: one observation in, one answer out.

use std::io;
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use crate::drive::answer::{Answer, Answered};
use crate::drive::clock::Stopwatch;
use crate::engine::RequestId;
use crate::types::{Inferred, Observation};

/// The answer to one request.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub request: RequestId,
    pub result: Result<Inferred, String>,
}

/// The running thread.
pub(super) struct InferenceThread {
    requests: Sender<(RequestId, Observation)>,
    replies: Receiver<Reply>,
    handle: JoinHandle<()>,
}

/// The thread is gone, or was asked twice at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAsked;

impl InferenceThread {
    pub fn start(mut policy: impl Answer + Send + 'static) -> io::Result<Self> {
        // The engine asks when the model is idle: a full channel is a bug of ours, and an answer always has room.
        let (requests, asked) = bounded::<(RequestId, Observation)>(1);
        let (reply, replies) = bounded(1);
        let run = move || {
            for (request, observation) in asked {
                let watch = Stopwatch::start();
                let result = policy.answer(&observation).map(|Answered { chunk, kept_tokens, .. }| Inferred {
                    chunk,
                    kept_tokens,
                    inference_delay: watch.elapsed(),
                });
                if reply.send(Reply { request, result }).is_err() {
                    return;
                }
            }
        };
        let handle = Builder::new().name("inference".to_owned()).spawn(run)?;
        Ok(Self { requests, replies, handle })
    }

    /// Asks for actions without waiting for them.
    pub fn ask(&self, request: RequestId, observation: Observation) -> Result<(), NotAsked> {
        self.requests.try_send((request, observation)).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NotAsked,
        })
    }

    /// The replies; disconnected once the thread has panicked.
    pub fn replies(&self) -> &Receiver<Reply> {
        &self.replies
    }

    /// Waits for the last inference to end; false where the thread panicked.
    pub fn join(self) -> bool {
        drop((self.requests, self.replies));
        self.handle.join().is_ok()
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

    #[test]
    fn each_observation_gets_its_answer() {
        let thread = InferenceThread::start(Echo).unwrap();
        thread.ask(RequestId(4), observation("go")).unwrap();
        let answer = thread.replies().recv_timeout(PATIENCE).unwrap();
        let inferred = answer.result.unwrap();
        assert_eq!((answer.request, inferred.chunk.values()), (RequestId(4), &[1.5, -2.0][..]));
        thread.ask(RequestId(5), observation("fail")).unwrap();
        assert_eq!(thread.replies().recv_timeout(PATIENCE).unwrap().result, Err("as asked".to_owned()));
        assert!(thread.join());
    }

    #[test]
    fn a_panic_closes_the_answers() {
        let thread = InferenceThread::start(Echo).unwrap();
        thread.ask(RequestId(0), observation("panic")).unwrap();
        assert!(thread.replies().recv_timeout(PATIENCE).is_err());
        assert_eq!(thread.ask(RequestId(1), observation("go")), Err(NotAsked));
        assert!(!thread.join());
    }
}
