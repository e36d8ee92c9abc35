//! Whether to look again for a moment before sleeping.
//!
//! What: who was just answered mostly says the next thing at once. `ovs-ofctl add-flows` waits for each flow: there a thread that
//! sleeps in between is woken 100,000 times, and being woken takes longer than all that is done for a flow. So after an answer
//! the thread looks for a few microseconds whether something came, and gives its processor to whoever wants it meanwhile.
//!
//! Invariants: without answers nothing is looked for, so that an idle daemon is as idle as without this. A look in vain has the
//! next answers sleep at once, and each further one twice as many: on a machine where others are busy, or with peers that
//! take their time, this ends by itself.

use std::io;
use std::time::{Duration, Instant};

/// For so long one looks.
const MOMENT: Duration = Duration::from_micros(60);
/// Answers after a look in vain for which one does not look, at least and at most.
const PAUSE: (u32, u32) = (16, 4096);

/// Who decides about looking.
#[derive(Debug)]
pub(super) struct Vigil {
    /// Something was answered since one slept.
    answered: bool,
    /// Answers for which one does not look.
    resting: u32,
    /// How many that will be after the next look in vain.
    pause: u32,
}

impl Vigil {
    pub(super) const fn new() -> Self {
        Self { answered: false, resting: 0, pause: PAUSE.0 }
    }

    /// Somebody was answered.
    pub(super) const fn note_answer(&mut self) {
        self.answered = true;
    }

    /// Looks for a moment, if that is worth it. The answer is whether something came.
    pub(super) fn keep(&mut self, mut look: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
        if !std::mem::take(&mut self.answered) {
            return Ok(false);
        }
        if self.resting > 0 {
            self.resting -= 1;
            return Ok(false);
        }
        let began = Instant::now();
        loop {
            let came = look()?;
            let late = began.elapsed() > MOMENT;
            if came && !late {
                self.pause = PAUSE.0;
                return Ok(true);
            }
            if late {
                self.resting = self.pause;
                self.pause = (self.pause * 2).min(PAUSE.1);
                return Ok(came);
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_vain_become_rare_and_good_ones_do_not() {
        let mut vigil = Vigil::new();
        assert!(!vigil.keep(|| panic!("nothing was answered")).unwrap());
        let mut looks = 0;
        for _ in 0..1000 {
            vigil.note_answer();
            let mut first = true;
            let came = vigil.keep(|| {
                looks += u32::from(std::mem::take(&mut first));
                Ok(false)
            });
            assert!(!came.unwrap());
        }
        assert!((5..=7).contains(&looks), "{looks} looks");
        vigil.resting = 0;
        let mut good = 0;
        for _ in 0..100 {
            vigil.note_answer();
            good += u32::from(vigil.keep(|| Ok(true)).unwrap());
        }
        // One that was interrupted for long may have been in vain.
        assert!(good >= 50, "{good} looks");
    }
}
