//! The guest of the tests of HTTP: makes the calls of its event one after another, and tells what came of each. Where a
//! call says `follow`, it goes where a redirect leads to, once.

use waxwing_sdk::{HttpError, HttpResponse, prelude::*};

#[derive(Deserialize, Clone)]
#[serde(rename_all = "kebab-case")]
struct Call {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// A body of so many bytes.
    #[serde(default)]
    bytes: usize,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    follow: bool,
    /// The run fails where the call does, or where its status is no success.
    #[serde(default)]
    must: bool,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Came {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[waxwing_sdk::handler]
fn call(event: Event<Vec<Call>>, cx: &mut Context) -> Outcome {
    let mut all = Vec::new();
    for call in &event.data {
        let mut response = make(cx, call, &call.url);
        if let (true, Some(url)) = (call.follow, response.as_ref().ok().and_then(|r| r.header("location"))) {
            let url = url.to_owned();
            response = make(cx, call, &url);
        }
        if call.must {
            response = Ok(response?.ok()?);
        }
        all.push(came(response));
    }
    cx.emit("calls.made", &all)
}

fn make(cx: &mut Context, call: &Call, url: &str) -> Result<HttpResponse, HttpError> {
    let mut request = cx.http().call(&call.method, url).body(vec![b'x'; call.bytes]);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    if let Some(ms) = call.timeout_ms {
        request = request.timeout(Duration::from_millis(ms));
    }
    request.send()
}

fn came(response: Result<HttpResponse, HttpError>) -> Came {
    match response {
        Ok(response) => Came { status: Some(response.status()), body: Some(response.text()), error: None },
        Err(error) => Came { status: None, body: None, error: Some(error.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Answer, Sandbox, event};

    #[test]
    fn follows_a_redirect_once_and_tells_what_came() {
        let mut sandbox = Sandbox::new().http(|call| match call.url.as_str() {
            "http://a/old" => Answer::status(302).header("Location", "http://b/new").into(),
            "http://b/new" => Answer::text(200, "here").into(),
            other => Err(HttpError::Denied(other.to_owned())),
        });
        let asked = json!([
            { "method": "GET", "url": "http://a/old", "follow": true },
            { "method": "POST", "url": "http://c", "bytes": 3 },
        ]);
        let run = sandbox.run(call, event("calls.asked").json(&asked));
        let came: Vec<Came> = run.only("calls.made");
        assert_eq!((came[0].status, came[0].body.as_deref()), (Some(200), Some("here")));
        assert_eq!(came[1].error.as_deref(), Some("HTTP call of http://c is not granted"));
        assert_eq!(run.calls()[2].body, b"xxx");
    }

    #[test]
    fn fails_where_a_call_must_succeed() {
        let mut sandbox = Sandbox::new().http(|_| Answer::status(503).header("Retry-After", "2").into());
        let asked = json!([{ "method": "GET", "url": "http://a", "must": true }]);
        let run = sandbox.run(call, event("calls.asked").json(&asked));
        assert_eq!(run.failure().and_then(Failure::retry_delay), Some(Duration::from_secs(2)));
    }
}
