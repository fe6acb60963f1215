//! Slots: what runs read and claim beside keys of the state, under names that are longer than a key may be.

use waxwing_event::effect::MAX_STATE_KEY_BYTES;

/// The slot of something of this kind.
pub fn of(kind: &str, id: &str) -> String {
    format!("{:\0<MAX_STATE_KEY_BYTES$}{kind} {id}", "")
}

/// What a slot of this kind stands for.
pub fn id<'s>(kind: &str, slot: &'s str) -> Option<&'s str> {
    slot.get(MAX_STATE_KEY_BYTES..)?.strip_prefix(kind)?.strip_prefix(' ')
}

/// True for a slot, false for a key of the state.
pub fn is(name: &str) -> bool {
    name.len() > MAX_STATE_KEY_BYTES
}

/// A slot or a key, for people.
pub fn shown(name: &str) -> &str {
    name.trim_start_matches('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_no_key_and_gives_back_what_it_stands_for() {
        let slot = of("timer", "a b");
        assert!(is(&slot) && !is(&"k".repeat(MAX_STATE_KEY_BYTES)));
        assert_eq!(
            (id("timer", &slot), id("seen", &slot), id("timer", "timer a")),
            (Some("a b"), None, None)
        );
        assert_eq!((shown(&slot), shown("k")), ("timer a b", "k"));
    }
}
