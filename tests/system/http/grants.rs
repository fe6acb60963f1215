//! What may be called.

use serde_json::{Value, json};
use waxwing_event::http::{HttpGrant, Method};
use waxwing_sandbox::Outside;

use super::{
    bed::{Bed, call, private, spec},
    server::Server,
};

fn get(url: &str) -> Value {
    json!([{ "method": "GET", "url": url }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_granted_is_refused_and_nobody_hears_of_it() {
    let (server, other, bed) = (Server::start().await, Server::start().await, Bed::new(Outside::Granted));
    let denied = |url: &str| json!({ "error": format!("HTTP call of {url} is not granted") });
    for origins in [vec![], vec![other.origin()]] {
        let origins: Vec<&str> = origins.iter().map(String::as_str).collect();
        let handler = bed.load(&spec(&origins));
        assert_eq!(call(&handler, get(&server.url("/ok"))).await[0], denied(&server.url("/ok")));
    }
    // Another scheme, port or host is another origin; a name before the host is none.
    let handler = bed.load(&spec(&[&server.origin()]));
    let port = server.port();
    for url in [
        format!("https://127.0.0.1:{port}/ok"),
        format!("http://localhost:{port}/ok"),
        "http://127.0.0.1/ok".to_owned(),
        format!("http://127.0.0.1.:{port}/ok"),
        format!("http://127.1:{port}/ok"),
        format!("http://me@127.0.0.1:{port}/ok"),
        format!("http://127.0.0.1:{port}@{}/ok", other.origin().trim_start_matches("http://")),
    ] {
        let came = call(&handler, get(&url)).await;
        assert!(came[0]["error"].is_string(), "{url}: {came}");
    }
    assert_eq!((server.connections(), other.connections()), (0, 0));
    assert_eq!(call(&handler, get(&server.url("/ok"))).await[0]["status"], 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_methods_that_are_granted() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let mut spec = spec(&[]);
    spec.grants.http =
        vec![HttpGrant { methods: vec![Method::Get, Method::Put], ..private(&server.origin()) }];
    let handler = bed.load(&spec);
    let methods = ["GET", "PUT", "POST", "DELETE", "get", "TRACE", "CONNECT"];
    let calls: Vec<Value> =
        methods.iter().map(|method| json!({ "method": method, "url": server.url("/ok") })).collect();
    let came = call(&handler, json!(calls)).await;
    let made: Vec<bool> = came.as_array().unwrap().iter().map(|came| came["status"] == 200).collect();
    assert_eq!(made, [true, true, false, false, false, false, false]);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_the_answer_and_leads_to_no_other_origin() {
    let (server, other, bed) = (Server::start().await, Server::start().await, Bed::new(Outside::Granted));
    let handler = bed.load(&spec(&[&server.origin()]));
    let to = |target: &str| server.url(&format!("/to?{target}"));
    let came = call(
        &handler,
        json!([
            { "method": "GET", "url": to(&other.url("/ok")) },
            { "method": "GET", "url": to(&other.url("/ok")), "follow": true },
            { "method": "GET", "url": to(&server.url("/ok")), "follow": true },
        ]),
    )
    .await;
    assert_eq!(came[0], json!({ "status": 302, "body": "elsewhere" }));
    assert_eq!(came[1]["error"], format!("HTTP call of {} is not granted", other.url("/ok")));
    assert_eq!(came[2]["status"], 200);
    assert_eq!(other.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_own_network_is_refused_unless_it_is_meant() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let port = server.port();
    // By its address, and by a name that leads there.
    for origin in
        [server.origin(), format!("http://localhost:{port}"), format!("http://[::ffff:127.0.0.1]:{port}")]
    {
        let url = format!("{origin}/ok");
        let mut spec = spec(&[]);
        spec.grants.http = vec![HttpGrant::new(origin.parse().unwrap())];
        let careful = bed.load(&spec);
        let came = call(&careful, get(&url)).await;
        assert_eq!(came[0]["error"], format!("HTTP call of {url} leads into the host's own network"));
        assert_eq!(server.seen().len(), 0);
    }
    // A connection that another handler may use is of no use to one that may not.
    let (meant, careful) = (bed.load(&spec(&[&server.origin()])), {
        let mut spec = spec(&[]);
        spec.grants.http = vec![HttpGrant::new(server.origin().parse().unwrap())];
        bed.load(&spec)
    });
    assert_eq!(call(&meant, get(&server.url("/ok"))).await[0]["status"], 200);
    assert!(call(&careful, get(&server.url("/ok"))).await[0]["error"].is_string());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_calls_nothing() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Rehearsed));
    let handler = bed.load(&spec(&[&server.origin()]));
    let came = call(&handler, get(&server.url("/ok"))).await;
    assert_eq!(came[0]["error"], format!("HTTP call of {} is not granted", server.url("/ok")));
    assert_eq!(server.connections(), 0);
}
