//! How many irreversible blocks are asked for at once: what providers take.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many blocks are asked for at first.
const START: u64 = 16;
/// The most that are asked for: what is read ahead is held in memory.
const MOST: u64 = 128;
/// The same where each block comes with all its transactions or receipts.
const MOST_WHOLE: u64 = 32;

/// How many blocks are asked for at once. It halves when a provider finds it too much, down to
/// one, and grows back with every success (F11).
#[derive(Debug)]
pub(crate) struct Window(AtomicU64);

impl Default for Window {
    fn default() -> Self {
        Self(AtomicU64::new(START))
    }
}

impl Window {
    pub(crate) fn get(&self, whole: bool) -> u64 {
        self.0.load(Ordering::Relaxed).min(if whole { MOST_WHOLE } else { MOST })
    }

    /// After so many blocks were too much. False where one block was.
    pub(crate) fn shrink(&self, blocks: u64) -> bool {
        self.0.store((blocks / 2).max(1), Ordering::Relaxed);
        blocks > 1
    }

    /// After so many blocks were taken.
    pub(crate) fn grow(&self, blocks: u64) {
        if blocks >= self.0.load(Ordering::Relaxed) {
            self.0.store(blocks.saturating_mul(2).min(MOST), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_halves_down_to_one_and_grows_back_f11() {
        let window = Window::default();
        let mut seen = Vec::new();
        loop {
            let blocks = window.get(false);
            seen.push(blocks);
            if !window.shrink(blocks) {
                break;
            }
        }
        assert_eq!(seen, [16, 8, 4, 2, 1]);
        for expected in [2, 4, 8, 16, 32, 64, 128, 128] {
            window.grow(window.get(false));
            assert_eq!(window.get(false), expected);
        }
        assert_eq!(window.get(true), 32);
        window.grow(3);
        assert_eq!(window.get(false), 128, "a short remainder says nothing of the window");
    }
}
