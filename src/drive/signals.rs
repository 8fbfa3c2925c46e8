//! SIGINT and SIGTERM end the process cleanly, and in time.

use std::io;
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded, never};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a clean end may take; a long inference or the loading of a model cannot be interrupted, only left.
const PATIENCE: Duration = Duration::from_millis(800);

/// From now on a signal is a message on the channel; a process that still runs [`PATIENCE`] later ends with exit 0.
pub fn stop_requests() -> io::Result<Receiver<()>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    // One request is enough.
    let (request, requests) = bounded(1);
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            tracing::info!(signal = signal_hook::low_level::signal_name(signal), "stopping");
            // Nobody listens any more: the process is about to end anyway.
            let _ = request.try_send(());
            // Only time can end this wait, or the process.
            let _ = never::<()>().recv_timeout(PATIENCE);
            tracing::info!("left what was still running");
            signal_hook::low_level::exit(0);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(requests)
}
