//! Niceness: how far a thread gives way to others.

use std::io;

/// Lowers the priority of this thread by so much, at most 19. Elsewhere than on Linux that would be the whole process: there it
/// does nothing.
#[cfg(target_os = "linux")]
pub(crate) fn give_way(by: i32) -> io::Result<()> {
    // On Linux it is the calling thread's alone, whatever POSIX says.
    Ok(rustix::process::setpriority_process(None, by)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn give_way(_by: i32) -> io::Result<()> {
    Ok(())
}
