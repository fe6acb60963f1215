//! The generations of a handler at work.
//!
//! Hosts run the live one. Beside it another can be built from the same inputs: it handles nothing that the live one has
//! not, and nothing of what it does leaves its state. A [`switch`] makes it the live one.
//!
//! | module | noun |
//! | --- | --- |
//! | [`gate`] | how far a generation that is built may read |
//! | [`standstill`] | nobody runs the live one for a moment |
//! | [`switch`] | the hand-over from the live one to another |
//! | [`division`] | the live one is divided into another number of partitions |

pub mod division;
pub mod gate;
pub mod standstill;
pub mod switch;

use tokio::sync::watch;
use waxwing_event::{HandlerName, Position};

use crate::{
    entry::{
        EntryError, Layout,
        generation::{Generation, GenerationName, Generations},
    },
    lease,
    port::{
        Log,
        log::{Entry, Part, ReadError},
    },
};

/// All of them.
const ALL: usize = usize::MAX;

/// Which generation of its handler a partition runs.
#[derive(Debug, Clone)]
pub enum Role {
    /// The one that is live.
    Live,
    /// One that is not: nothing leaves its state, and it answers nobody.
    Builds(Build),
}

/// A generation that is built.
#[derive(Debug, Clone)]
pub struct Build {
    /// Which.
    pub generation: Generation,
    /// The last input that it may handle.
    pub until: watch::Receiver<Position>,
}

/// Why it is not known which generations there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// Trying again may help.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The entry that says it is damaged.
    #[error("{0}: restore that entry, or delete it to go on with the handler's first generation")]
    Damaged(#[from] EntryError),
}

/// The generations of a handler, and where that stands ([`Position::NONE`]: nowhere, there is but the first).
pub async fn look(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
) -> Result<(Generations, Position), LookError> {
    match log.last(&layout.generations(handler)).await? {
        Some(entry) => Ok((Generations::read(&entry)?, entry.position)),
        None => Ok((Generations::default(), Position::NONE)),
    }
}

/// The host that switches now, if there is one: one that is killed meanwhile counts no more. `own` is none.
pub async fn switcher(
    log: &dyn Log,
    layout: &Layout,
    generations: &Generations,
    own: Option<&str>,
) -> Result<Option<String>, ReadError> {
    match &generations.gives_way_to {
        Some(host) if own != Some(host) && lease::lives(log, layout, host).await? => Ok(Some(host.clone())),
        _ => Ok(None),
    }
}

/// The layout with the live generation of this handler, and its partitions.
pub async fn live(log: &dyn Log, layout: &Layout, handler: &HandlerName) -> Result<Layout, LookError> {
    let (Generations { live, partitions, .. }, _) = look(log, layout, handler).await?;
    Ok(layout.at(handler, live).divided(handler, partitions))
}

/// The layout with the live generation of each handler, and its partitions.
pub async fn all_live(log: &dyn Log, layout: &Layout) -> Result<Layout, LookError> {
    Ok(with_live(layout, &log.last_of_each(&layout.all_generations(), Part::Whole, ALL).await?)?)
}

/// The layout with the live generations of which these entries tell.
pub fn with_live(layout: &Layout, entries: &[Entry]) -> Result<Layout, EntryError> {
    entries.iter().try_fold(layout.clone(), |layout, entry| match layout.generation_of(&entry.subject) {
        Some(GenerationName { handler, .. }) => {
            let Generations { live, partitions, .. } = Generations::read(entry)?;
            Ok(layout.at(&handler, live).divided(&handler, partitions))
        }
        None => Ok(layout),
    })
}

/// Removes all that a generation has in the log: one that is not live, and that nobody builds.
pub async fn remove(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
    generation: Generation,
) -> Result<(), ReadError> {
    // The lease first: without it nobody writes for the generation any more.
    for subjects in layout.at(handler, generation).of_generation(handler) {
        let last = log.bounds().await?.last;
        log.remove(&subjects, last).await?;
    }
    Ok(())
}
