//! Judges the bucket that shows a handler's state.

use waxwing_engine::entry::Layout;
use waxwing_log::jetstream::SeenBucket;

use super::{
    finding::Finding,
    found::{Found, FoundHandler},
};

/// Judges the bucket; nothing where the handler shows no state.
pub(super) fn judge(found: &Found, handler: &FoundHandler) -> Option<Finding> {
    let (name, seen) = (&handler.name, handler.bucket.as_ref()?);
    let bucket = Layout::new(found.app.clone()).bucket(name);
    let finding = match seen {
        SeenBucket::Fine => {
            Finding::ok("bucket", format!("the bucket `{bucket}` shows the state of handler `{name}`"))
        }
        SeenBucket::Missing => {
            Finding::warning("bucket", format!("the bucket `{bucket}` of handler `{name}` is not there"))
                .why("those who read the handler's state in it find nothing")
                .way_out("start the app with `waxwing run`, which makes it")
        }
        SeenBucket::Another(breach) => Finding::problem(
            "bucket",
            format!("the bucket `{bucket}` cannot show the state of handler `{name}`: {}", breach.what),
        )
        .why("`waxwing run` refuses to start with it")
        .way_out(breach.way_out),
        SeenBucket::OfAnotherGeneration => Finding::warning(
            "bucket",
            format!("the bucket `{bucket}` shows a generation of handler `{name}` that is not live"),
        )
        .why("those who read the handler's state in it see what it was before `waxwing rebuild` had switched")
        .way_out("start the app with `waxwing run`, which makes the bucket anew"),
        SeenBucket::OfAnotherLog => Finding::warning(
            "bucket",
            format!("the bucket `{bucket}` of handler `{name}` has what is not in the log"),
        )
        .why("the log was made anew or restored from an older copy: old keys stay, and new ones may be missing")
        .way_out("start the app with `waxwing run`, which makes the bucket anew"),
    };
    Some(finding)
}

#[cfg(test)]
mod tests {
    use waxwing_log::jetstream::Breach;

    use super::{
        super::{finding::Level, found::tests::found},
        *,
    };

    #[test]
    fn tells_what_readers_of_the_state_get() {
        let another = SeenBucket::Another(Breach { what: "others write to it".into(), way_out: "move it" });
        let cases = [
            (Some(SeenBucket::Fine), Some(Level::Ok)),
            (Some(SeenBucket::Missing), Some(Level::Warning)),
            (Some(SeenBucket::OfAnotherLog), Some(Level::Warning)),
            (Some(SeenBucket::OfAnotherGeneration), Some(Level::Warning)),
            (Some(another), Some(Level::Problem)),
            (None, None),
        ];
        let found = found();
        for (bucket, level) in cases {
            let mut handler = found.log.as_ref().unwrap().handlers[0].clone();
            handler.bucket = bucket;
            let finding = judge(&found, &handler);
            assert_eq!(finding.as_ref().map(|finding| finding.level), level);
            assert!(finding.is_none_or(|finding| finding.what.contains("`shop-one`")));
        }
    }
}
