//! The terminal while keys are read: each key at once and unseen, everything else as it was; ctrl-c stays a signal.
//!
//! What is changed is put back when the value goes, also when a panic unwinds.

#[cfg(unix)]
pub(super) use unix::Terminal;

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal};

    use rustix::{
        process::getpgrp,
        termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr},
    };

    /// The terminal of this process.
    pub(in crate::cli::dev) struct Terminal {
        before: Termios,
    }

    impl Terminal {
        /// Takes the terminal; none where standard input or output is none, or another process stands before it.
        pub(in crate::cli::dev) fn take() -> Option<Terminal> {
            if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
                return None;
            }
            // Who stands behind would be stopped.
            if tcgetpgrp(io::stdin()).ok()? != getpgrp() {
                return None;
            }
            let terminal = Terminal { before: tcgetattr(io::stdin()).ok()? };
            terminal.key_by_key().ok()?;
            Some(terminal)
        }

        /// Gives each key at once; a read waits for a tenth of a second at most.
        pub(in crate::cli::dev) fn key_by_key(&self) -> io::Result<()> {
            let mut modes = self.before.clone();
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            modes.special_codes[SpecialCodeIndex::VMIN] = 0;
            modes.special_codes[SpecialCodeIndex::VTIME] = 1;
            Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
        }

        /// Gives whole lines, which a person sees and can correct.
        pub(in crate::cli::dev) fn line_by_line(&self) -> io::Result<()> {
            Ok(tcsetattr(io::stdin(), OptionalActions::Now, &self.before)?)
        }
    }

    impl Drop for Terminal {
        fn drop(&mut self) {
            // Nothing can be done where it fails.
            let _ = self.line_by_line();
        }
    }
}
