//! Marks that another app or nobody at all has written: a relay copies headers, and anybody can send some.

use waxwing_event::Position;

use super::{
    MANIFEST,
    cases::{Sent, item, whole},
};
use crate::{app::App, raw::RawPublisher};

/// Publishes a good event, with this mark as if from this source.
async fn publish(raw: &mut RawPublisher, id: &str, mark: Option<(&str, String)>) -> Position {
    let mut headers = whole(id);
    if let Some((source, mark)) = mark {
        source.clone_into(&mut headers[2].1);
        headers.push(("wx-mark".to_owned(), mark));
    }
    let data = item("k", 1).to_string();
    raw.publish("in.item", &Sent::Pairs(headers).block(), data.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_that_others_wrote_do_not_tell_that_an_event_is_handled() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    let mut raw = RawPublisher::connect(app.server.process.port()).await;
    let first = publish(&mut raw, "first", None).await;
    app.handled("keyed", first).await;
    assert!(host.stop().await);

    let before = publish(&mut raw, "before", None).await;
    let mark = |watermark: Position| format!("keyed 0 {before} 0 {watermark}");
    publish(&mut raw, "relayed", Some(("/other/keyed", mark(before)))).await;
    publish(&mut raw, "of-the-future", Some(("/bad/keyed", mark(Position(before.0 + 1_000))))).await;
    let last = publish(&mut raw, "last", None).await;
    let host = app.host().await;
    for handler in ["keyed", "plain"] {
        app.handled(handler, last).await;
    }
    assert!(host.stop().await);
    let outcome = app.result().await;
    for source in ["/bad/keyed", "/bad/plain"] {
        let of_it = outcome.emitted.iter().filter(|event| event.source == source);
        let mut causes: Vec<_> = of_it.filter_map(|event| event.causation_id.as_deref()).collect();
        causes.sort_unstable();
        assert_eq!(causes, ["before", "first", "last", "of-the-future", "relayed"], "{source}");
    }
}
