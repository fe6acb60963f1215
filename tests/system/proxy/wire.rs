//! The NATS client protocol, as far as a watcher needs it: where a frame ends, and what a message says.

/// What travels between a client and a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message, published or delivered.
    Message(Message<'a>),
    /// Anything else.
    Control,
}

/// A message on its way.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub subject: &'a str,
    pub reply: Option<&'a str>,
    /// The header block; empty where there is none.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let block = std::str::from_utf8(self.headers).ok()?;
        let mut fields = block.split("\r\n").filter_map(|line| line.split_once(':'));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// The first frame of `bytes` and its length, once it is whole.
pub fn frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let line_bytes = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[..line_bytes]).unwrap();
    let body = &bytes[line_bytes + 2..];
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    // A delivered message names its subscription behind its subject.
    let (has_headers, before) = match words.first() {
        Some(&"PUB") => (false, 2),
        Some(&"HPUB") => (true, 2),
        Some(&"MSG") => (false, 3),
        Some(&"HMSG") => (true, 3),
        _ => return Some((Frame::Control, line_bytes + 2)),
    };
    let (sizes, reply) = match (has_headers, &words[before..]) {
        (false, [total]) => ((0, size(total)), None),
        (false, [reply, total]) => ((0, size(total)), Some(*reply)),
        (true, [headers, total]) => ((size(headers), size(total)), None),
        (true, [reply, headers, total]) => ((size(headers), size(total)), Some(*reply)),
        _ => panic!("no message begins like this: `{line}`"),
    };
    let (headers, total) = sizes;
    let body = body.get(..total + 2)?;
    let message =
        Message { subject: words[1], reply, headers: &body[..headers], payload: &body[headers..total] };
    Some((Frame::Message(message), line_bytes + 2 + total + 2))
}

fn size(word: &str) -> usize {
    word.parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> (Message<'_>, usize) {
        let Some((Frame::Message(message), bytes)) = frame(text.as_bytes()) else { panic!("{text}") };
        (message, bytes)
    }

    #[test]
    fn reads_all_forms_of_messages() {
        for (text, reply) in [
            ("HPUB a.b 18 22\r\nNATS/1.0\r\nx: 1\r\n\r\ndata\r\n", None),
            ("HPUB a.b r.1 18 22\r\nNATS/1.0\r\nx: 1\r\n\r\ndata\r\n", Some("r.1")),
            ("HMSG a.b 7 18 22\r\nNATS/1.0\r\nx: 1\r\n\r\ndata\r\n", None),
            ("HMSG a.b 7 r.1 18 22\r\nNATS/1.0\r\nx: 1\r\n\r\ndata\r\n", Some("r.1")),
        ] {
            let (message, bytes) = message(text);
            assert_eq!((message.subject, message.reply, message.payload), ("a.b", reply, &b"data"[..]));
            assert_eq!((message.header("X"), message.header("y"), bytes), (Some("1"), None, text.len()));
        }
        for text in ["PUB a.b 4\r\ndata\r\n", "MSG a.b 7 4\r\ndata\r\n", "MSG a.b 7 r.1 4\r\ndata\r\n"] {
            let (message, bytes) = message(text);
            assert_eq!((message.payload, message.headers, bytes), (&b"data"[..], &b""[..], text.len()));
        }
    }

    #[test]
    fn waits_for_the_end_and_stops_there() {
        let text = b"PUB a 2\r\n\r\n\r\nPING\r\n";
        assert_eq!((0..13).find(|end| frame(&text[..*end]).is_some()), None);
        assert_eq!(frame(text).unwrap().1, 13);
        assert_eq!(frame(&text[13..]), Some((Frame::Control, 6)));
    }
}
