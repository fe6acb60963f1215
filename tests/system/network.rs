//! The network between host and server: cut, or silent for a while.

use std::time::Duration;

use waxwing_engine::port::Log;

use crate::{
    app::{App, STANDBY},
    counters::{COUNTERS, HANDLERS, inputs, settled},
    crash::{new_owner, owner},
    proxy::Proxied,
    seed::seeded,
};

const BURST: u64 = 500;

/// How long the network is gone: three times the lease.
const GONE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Connections end, new ones are not taken.
    Cut,
    /// Connections stay; what was sent arrives when it is over.
    Silence,
}

impl Fault {
    fn begin(self, app: &App<Proxied>) {
        match self {
            Fault::Cut => app.server.proxy.cut(),
            Fault::Silence => app.server.proxy.silence(),
        }
    }
}

async fn gone_for_a_while(fault: Fault) {
    let mut random = seeded();
    let app = App::on(Proxied::start().await, COUNTERS);
    let host = app.host().await;
    let mut all = inputs(&mut random, 0, BURST);
    app.publish(&all).await;
    // Right behind the burst, the host is in the midst of it.
    fault.begin(&app);
    let meanwhile = inputs(&mut random, BURST, BURST);
    app.publish(&meanwhile).await;
    tokio::time::sleep(GONE).await;
    app.server.proxy.restore();
    let after = inputs(&mut random, 2 * BURST, BURST);
    let last = app.publish(&after).await;
    all.extend(meanwhile.into_iter().chain(after));
    settled(&app, last, &all).await;
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut_for_three_seconds_under_load() {
    gone_for_a_while(Fault::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_silent_for_three_seconds_under_load() {
    gone_for_a_while(Fault::Silence).await;
}

/// Its host is not heard of until another has taken over and caught up; then all that it had sent arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_sent_before_another_took_over_is_refused_when_it_arrives() {
    let mut random = seeded();
    let app = App::on(Proxied::start().await, COUNTERS);
    let first = app.host().await;
    let url = app.server.server.process.url();
    let mut second = app.launch_with(&[], &[STANDBY[0], ("NATS_URL", url.as_str())]);
    second.ready().await;
    let former = owner(&app).await;
    let mut all = inputs(&mut random, 0, 2 * BURST);
    app.publish(&all).await;
    app.server.proxy.silence();
    new_owner(&app, &former).await;
    let more = inputs(&mut random, 2 * BURST, BURST);
    let last = app.publish(&more).await;
    all.extend(more);
    for handler in HANDLERS {
        app.handled(handler, last).await;
    }
    let taken_over = app.result().await;
    let end = app.log().await.bounds().await.unwrap().last;
    app.server.proxy.restore();
    // When it has drained, all that it had under way has been tried.
    assert!(first.stop().await);
    assert!(app.log().await.bounds().await.unwrap().last > end, "nothing arrived");
    app.result().await.assert_same(&taken_over);
    settled(&app, last, &all).await;
    assert!(second.stop().await);
}
