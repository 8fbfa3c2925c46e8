//! What a step of a denoising asks of the allocator.

#![expect(unsafe_code, reason = "an allocator that counts, and leaves the rest to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of one inference of this many steps on this thread.
fn allocations(steps: usize) -> u64 {
    let (_dir, bundle) = flow();
    let options = PolicyOptions { denoise_steps: NonZeroUsize::new(steps), ..PolicyOptions::default() };
    let mut policy = Policy::load(&bundle, &options).unwrap();
    let noise = given(&NOISE);
    policy.run(inputs(), &noise, &mut ()).unwrap();
    let again = inputs();
    let before = COUNT.get();
    let outputs = policy.run(again, &noise, &mut ()).unwrap();
    let count = COUNT.get() - before;
    assert_eq!(outputs.denoise_steps as usize, steps);
    count
}

/// What ONNX Runtime does inside is its own.
#[test]
fn a_step_allocates_nothing() {
    let few = allocations(2);
    assert!(few > 0, "an inference allocates, so the counter counts");
    assert_eq!(allocations(50), few);
}
