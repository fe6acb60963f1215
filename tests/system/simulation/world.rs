//! The world that all parts of a run stand in.

use super::{
    clock::VirtualClock, dice::Dice, modules::Modules, server::Server, trace::Trace, weather::Weather,
};

/// What all parts share. Clones are the same world.
#[derive(Clone)]
pub struct World {
    pub dice: Dice,
    pub clock: VirtualClock,
    pub trace: Trace,
    pub weather: Weather,
    pub server: Server,
    pub modules: Modules,
}

impl World {
    pub fn new(seed: u64, subjects: &[waxwing_event::Pattern]) -> World {
        let dice = Dice::new(seed);
        let clock = VirtualClock::new(dice.clone());
        let trace = Trace::new(clock.clone());
        let weather = Weather::drawn(&dice);
        let server = Server::new(clock.clone(), trace.clone(), subjects);
        World { dice, clock, trace, weather, server, modules: Modules::default() }
    }
}
