//! What a rebuild has to do, by what is there.

use waxwing_engine::entry::generation::{Generation, Generations, Kind, Other};
use waxwing_event::Digest;

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// A new generation, or to go on with one that was begun.
    Build,
    /// A new generation, whatever was begun.
    Anew,
    /// The one that was live before.
    Back,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Begin this generation; the other one goes.
    Begin(Generation),
    /// Go on with the other one.
    GoOn(Generation),
}

/// Decides; an error says why nothing can be done.
pub(super) fn plan(generations: &Generations, wish: Wish, module: Digest) -> Result<Plan, String> {
    let begin = Plan::Begin(generations.fresh());
    match (wish, generations.standing_other()) {
        (Wish::Build, Some(Other { generation, module: Some(by), kind: Kind::Built })) if *by == module => {
            Ok(Plan::GoOn(*generation))
        }
        (Wish::Build | Wish::Anew, _) => Ok(begin),
        (Wish::Back, Some(Other { generation, kind: Kind::Former, .. })) => Ok(Plan::GoOn(*generation)),
        (Wish::Back, _) => {
            Err("there is no generation to go back to: none was live before, or it was removed \
                                when another was begun"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_with_what_the_same_module_has_begun() {
        let (mine, another) = (Digest([1; 32]), Digest([2; 32]));
        let with = |generation, module, kind| Generations {
            live: Generation(3),
            other: Some(Other { generation: Generation(generation), module, kind }),
            ..Generations::default()
        };
        let begun = with(4, Some(mine), Kind::Built);
        let begun_by_another = with(4, Some(another), Kind::Built);
        let former = with(2, Some(mine), Kind::Former);
        let replayed = with(4, Some(mine), Kind::Replayed);
        let alone = Generations::default();
        let (begin, go_on) = (|n| Ok(Plan::Begin(Generation(n))), |n| Ok(Plan::GoOn(Generation(n))));
        let cases = [
            (&begun, Wish::Build, go_on(4)),
            (&begun, Wish::Anew, begin(5)),
            (&begun_by_another, Wish::Build, begin(5)),
            (&former, Wish::Build, begin(4)),
            (&former, Wish::Back, go_on(2)),
            (&replayed, Wish::Build, begin(5)),
            (&alone, Wish::Build, begin(2)),
        ];
        for (generations, wish, expected) in cases {
            assert_eq!(plan(generations, wish, mine), expected, "{generations:?} {wish:?}");
        }
        for generations in [&alone, &begun, &replayed] {
            assert!(plan(generations, Wish::Back, mine).is_err(), "{generations:?}");
        }
    }
}
