//! The state cache between loads and writes that overlap.

use std::{num::NonZeroUsize, sync::Arc};

use waxwing_engine::{
    cache::{Known, StateCache},
    entry::{Layout, state},
    port::{clock::SystemClock, invoke::StateView, log::commit},
};
use waxwing_event::{Digest, HandlerName, HandlerSpec};
use waxwing_log::memory::MemoryLog;

use crate::held_log::HeldLog;

#[tokio::test]
async fn a_load_does_not_hide_what_was_written_and_evicted_meanwhile() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let held = HeldLog::new(&log, "wx.test.state.>");
    let (layout, handler) = (Layout::new("test".parse().unwrap()), "count".parse::<HandlerName>().unwrap());
    let spec = HandlerSpec::new(handler.clone(), Vec::new());
    let no_room = NonZeroUsize::MIN;
    let cache = Arc::new(StateCache::new(held.clone(), layout.clone(), &spec, no_room));
    let set = async |value: &'static str| {
        let entry = state::write(layout.state(&handler, "k"), Some(value.into()), None);
        commit(&log, vec![entry]).await.unwrap().last
    };
    set("old").await;

    let view = cache.view(Digest([0; 32]));
    let reading = tokio::spawn({
        let view = view.clone();
        async move { view.get("k").await.unwrap() }
    });
    held.asked().await;
    let position = set("new").await;
    cache.written("k".to_owned(), Known { value: Some("new".into()), position, snapshot: None });
    held.release(2);
    assert_eq!(reading.await.unwrap().as_deref(), Some(b"new".as_slice()));
    assert!(view.is_current());
}
