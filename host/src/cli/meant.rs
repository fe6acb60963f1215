//! What a manifest makes of a subject: whoever sends to it in another way is told of the right one.

use waxwing_event::{HandlerName, Pattern, Subject};

use crate::config::AppConfig;

/// What is sent to a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meant {
    /// An event: the app's log keeps it.
    Event,
    /// A request, which this handler answers.
    Request(HandlerName),
    /// A live message, which this handler hears.
    Live(HandlerName),
}

/// What the manifest says of a subject; none where it says nothing.
pub(super) fn meant(config: &AppConfig, subject: &Subject) -> Option<Meant> {
    let covers = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(subject.as_str()));
    if covers(&config.events) {
        return Some(Meant::Event);
    }
    let specs = || config.handlers.iter().map(|handler| &handler.spec);
    let asked = specs().find(|spec| covers(&spec.request)).map(|spec| Meant::Request(spec.name.clone()));
    asked.or_else(|| specs().find(|spec| covers(&spec.live)).map(|spec| Meant::Live(spec.name.clone())))
}

/// True for subjects of hosts and of the server.
pub(super) fn is_reserved(subject: &Subject) -> bool {
    ["wx.", "wxr.", "$"].iter().any(|start| subject.as_str().starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [app]
        name = "shop"
        events = ["prices.>"]
        [handlers.basket]
        module = "basket.wasm"
        request = ["cmd.basket.*"]
        [handlers.screen]
        module = "screen.wasm"
        live = ["clicks.>"]
    "#;

    #[test]
    fn the_manifest_says_what_a_subject_is_for() {
        let locate = |name: &str| Ok(crate::module::ModuleSource::File(name.into()));
        let (config, _) = crate::config::parse("waxwing.toml", MANIFEST, [], locate).unwrap();
        let said = |subject: &str| meant(&config, &subject.parse().unwrap());
        assert_eq!(said("prices.updated"), Some(Meant::Event));
        assert_eq!(said("cmd.basket.show"), Some(Meant::Request("basket".parse().unwrap())));
        assert_eq!(said("clicks.home"), Some(Meant::Live("screen".parse().unwrap())));
        assert_eq!(said("cmd.basket"), None);
    }

    #[test]
    fn subjects_of_hosts_and_of_the_server_are_reserved() {
        let reserved = |subject: &str| is_reserved(&subject.parse().unwrap());
        assert!(["wx.shop.dead.one.7", "wxr.shop.one.0", "$JS.API.INFO", "$x"].into_iter().all(reserved));
        assert!(!["wx", "wxs.a", "a.$x", "wxr"].into_iter().any(reserved));
    }
}
