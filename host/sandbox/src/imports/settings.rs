//! Settings: named values from the handler's manifest.

use crate::{contract::waxwing::events::settings::Host, guest::Guest};

impl Host for Guest {
    fn get(&mut self, name: String) -> Option<String> {
        self.handler.settings.get(&name).cloned()
    }

    fn all(&mut self) -> Vec<(String, String)> {
        self.handler.settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
