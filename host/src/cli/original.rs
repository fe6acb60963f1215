//! Shows an event as it came, which an entry of the host's own keeps.

use anyhow::Result;
use waxwing_engine::entry::Original;

use super::{
    output::{self, say},
    style::{END, NAME, TITLE},
};

/// What it is, where it stands and whose it is.
pub(super) fn show_title(original: &Original) -> Result<()> {
    let Original { subject, handler, .. } = original;
    say!("{TITLE}{subject}{END} at {}, {NAME}{handler}{END}", place(original))?;
    Ok(())
}

/// Where it stands.
fn place(original: &Original) -> String {
    let position = original.position;
    match &original.stream {
        Some(stream) => format!("position {position} of the stream {stream}"),
        None => format!("position {position}"),
    }
}

/// Id and key.
pub(super) fn show_id(original: &Original) -> Result<()> {
    output::field("id", &output::line(original.event_id.as_deref().unwrap_or("unknown")))?;
    output::field("key", &output::line(original.key.as_deref().unwrap_or("none")))?;
    Ok(())
}

/// Headers and data.
pub(super) fn show_content(original: &Original, payload: &[u8]) -> Result<()> {
    for (name, value) in &original.headers {
        output::field("header", &output::line(&format!("{name}: {value}")))?;
    }
    if let Some(block) = &original.broken_headers {
        output::field("headers", &format!("unreadable, base64: {block}"))?;
    }
    let elsewhere = format!("too large to be kept here: it stands at {}", place(original));
    if original.headers_omitted {
        output::field("headers", &elsewhere)?;
    }
    match (original.payload_omitted, std::str::from_utf8(payload)) {
        (true, _) => output::field("data", &elsewhere)?,
        (false, Ok(text)) => output::field("data", &output::lines(text))?,
        (false, Err(_)) => {
            output::field("data", &format!("{} bytes that are no text: see --output json", payload.len()))?
        }
    }
    Ok(())
}
