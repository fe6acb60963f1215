//! Lines that a guest writes: through the contract's log, to standard output, to standard error.
//!
//! All of them count against one budget a run. What is above it is dropped, counted, and told in one line
//! at the end of the run.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::Level;
use waxwing_event::{Event, HandlerName, handler::Limits};

use crate::study::Ear;

/// How much of the end of standard error is kept for the reason of a failure.
const TAIL_BYTES: usize = 4 << 10;

/// A line that gets longer is cut.
const LINE_BYTES: usize = 8 << 10;

/// The lines of one instance. Clones are the same lines: the guest's streams hold some.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Mutex<Budget>>);

/// The two streams of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

#[derive(Debug)]
struct Budget {
    handler: HandlerName,
    ear: Option<Arc<dyn Ear>>,
    event: Option<Arc<Event>>,
    lines: u32,
    bytes: u64,
    dropped: u64,
    output: Vec<u8>,
    error: Vec<u8>,
    tail: Vec<u8>,
}

impl Lines {
    /// Lines of a handler's instance, which `ear` hears too; the first run is yet to begin.
    pub(crate) fn new(handler: HandlerName, ear: Option<Arc<dyn Ear>>) -> Lines {
        Lines(Arc::new(Mutex::new(Budget {
            handler,
            ear,
            event: None,
            lines: 0,
            bytes: 0,
            dropped: 0,
            output: Vec::new(),
            error: Vec::new(),
            tail: Vec::new(),
        })))
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a run with a whole budget.
    pub(crate) fn begin(&self, event: Option<Arc<Event>>, limits: &Limits) {
        let mut budget = self.budget();
        budget.event = event;
        budget.lines = limits.log_lines;
        budget.bytes = limits.log_bytes;
        budget.dropped = 0;
        budget.tail.clear();
    }

    /// Writes one line with rendered fields.
    pub(crate) fn write(&self, level: Level, message: &str, fields: &str) {
        self.budget().write(level, message, fields);
    }

    /// Writes one line of the run of this event, if that has not ended meanwhile.
    pub(crate) fn write_of(&self, event: Option<&Arc<Event>>, level: Level, message: &str) {
        let mut budget = self.budget();
        let is_same = match (event, &budget.event) {
            (Some(event), Some(now)) => Arc::ptr_eq(event, now),
            _ => false,
        };
        if is_same {
            budget.write(level, message, "");
        }
    }

    /// Takes bytes of a stream, and writes the lines that they complete.
    pub(crate) fn take(&self, stream: Stream, bytes: &[u8]) {
        let mut budget = self.budget();
        if stream == Stream::Error {
            budget.keep_tail(bytes);
        }
        let mut rest = mem::take(budget.partial(stream));
        for (i, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if i > 0 {
                budget.write_stream(stream, &rest);
                rest.clear();
            }
            let room = LINE_BYTES.saturating_sub(rest.len());
            rest.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        *budget.partial(stream) = rest;
    }

    /// Ends a run: writes half lines, and how many were dropped.
    pub(crate) fn end(&self) {
        let mut budget = self.budget();
        for stream in [Stream::Output, Stream::Error] {
            let rest = mem::take(budget.partial(stream));
            budget.write_stream(stream, &rest);
        }
        budget.tell_dropped();
        budget.event = None;
    }

    /// The end of what the run wrote to standard error.
    pub(crate) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.budget().tail).into_owned()
    }
}

impl Budget {
    fn partial(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or(bytes);
        let over = (self.tail.len() + bytes.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..over.min(self.tail.len()));
        self.tail.extend_from_slice(bytes);
    }

    fn write_stream(&mut self, stream: Stream, line: &[u8]) {
        let level = match stream {
            Stream::Output => Level::INFO,
            Stream::Error => Level::WARN,
        };
        if line.is_empty() {
            return;
        }
        self.write(level, &String::from_utf8_lossy(line), "");
    }

    fn write(&mut self, level: Level, message: &str, fields: &str) {
        let cost = (message.len() + fields.len() + 1) as u64;
        if self.lines == 0 || cost > self.bytes {
            self.dropped += 1;
            return;
        }
        self.lines -= 1;
        self.bytes -= cost;
        self.tell(level, message, fields);
    }

    fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let message =
                format!("{} more lines of this run were dropped: it reached its limit", self.dropped);
            self.tell(Level::WARN, &message, "");
        }
    }

    fn tell(&self, level: Level, message: &str, fields: &str) {
        if let Some(ear) = &self.ear {
            ear.line(level, message, fields);
        }
        let handler = self.handler.as_str();
        let event = self.event.as_ref().map_or("", |event| event.id.as_str());
        // Of a first event it is its own id.
        let of_another = |event: &&Arc<Event>| event.correlation_id != event.id;
        let correlation = self.event.as_ref().filter(of_another).map(|event| event.correlation_id.as_str());
        let fields = (!fields.is_empty()).then_some(fields);
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(target: "guest", $level, handler, event, fields, correlation, "{message}")
            };
        }
        match level {
            Level::TRACE => line!(Level::TRACE),
            Level::DEBUG => line!(Level::DEBUG),
            Level::INFO => line!(Level::INFO),
            Level::WARN => line!(Level::WARN),
            Level::ERROR => line!(Level::ERROR),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Written;

        fn make_writer(&'a self) -> Written {
            self.clone()
        }
    }

    /// The lines that come of this, within these limits.
    fn told(log_lines: u32, log_bytes: u64, write: impl FnOnce(&Lines)) -> Vec<String> {
        told_of(None, log_lines, log_bytes, write)
    }

    fn told_of(
        event: Option<Event>,
        log_lines: u32,
        log_bytes: u64,
        write: impl FnOnce(&Lines),
    ) -> Vec<String> {
        let written = Written::default();
        let format = tracing_subscriber::fmt::format().without_time().with_ansi(false).compact();
        let subscriber = tracing_subscriber::fmt().with_writer(written.clone()).event_format(format).finish();
        tracing::subscriber::with_default(subscriber, || {
            let lines = Lines::new("h".parse().unwrap(), None);
            lines.begin(event.map(Arc::new), &Limits { log_lines, log_bytes, ..Limits::default() });
            write(&lines);
            lines.end();
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn dropped(count: u32) -> String {
        format!(
            r#"WARN guest: {count} more lines of this run were dropped: it reached its limit handler="h" event="""#
        )
    }

    #[test]
    fn puts_streams_into_lines() {
        let told = told(9, 99, |lines| {
            lines.take(Stream::Output, b"one\ntw");
            lines.take(Stream::Error, b"\nbad\n");
            lines.take(Stream::Output, b"o\n\nthree");
        });
        let expected = [
            r#"INFO guest: one handler="h" event="""#,
            r#"WARN guest: bad handler="h" event="""#,
            r#"INFO guest: two handler="h" event="""#,
            r#"INFO guest: three handler="h" event="""#,
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn names_the_event_and_the_story_it_is_part_of() {
        let event = |correlation_id: &str| Event {
            id: "e1".to_owned(),
            source: "/s".to_owned(),
            event_type: "t".to_owned(),
            subject: "a.b".parse().unwrap(),
            about: None,
            time: None,
            content_type: None,
            data_schema: None,
            correlation_id: correlation_id.to_owned(),
            causation_id: None,
            extensions: Vec::new(),
            key: None,
            position: waxwing_event::Position(1),
            attempt: 1,
            data: Default::default(),
        };
        let line = |lines: &Lines| lines.write(Level::INFO, "x", "");
        assert_eq!(told_of(Some(event("e1")), 9, 99, line), [r#"INFO guest: x handler="h" event="e1""#]);
        let part = r#"INFO guest: x handler="h" event="e1" correlation="e0""#;
        assert_eq!(told_of(Some(event("e0")), 9, 99, line), [part]);
    }

    #[test]
    fn bounds_their_number() {
        let three = |lines: &Lines| (0..3).for_each(|_| lines.write(Level::INFO, "x", ""));
        assert_eq!(told(3, 99, three).len(), 3);
        assert_eq!(told(2, 99, three)[2], dropped(1));
    }

    #[test]
    fn bounds_their_bytes() {
        let two = |lines: &Lines| (0..2).for_each(|_| lines.write(Level::INFO, "12345", "a=1"));
        let fits = told(9, 18, two);
        assert_eq!(fits, [r#"INFO guest: 12345 handler="h" event="" fields="a=1""#; 2]);
        assert_eq!(told(9, 17, two)[1], dropped(1));
    }

    #[test]
    fn keeps_the_end_of_standard_error() {
        told(0, 0, |lines| {
            lines.take(Stream::Error, &[b'x'; 3 * TAIL_BYTES]);
            lines.take(Stream::Output, b"not this");
            lines.take(Stream::Error, b"the end");
            let tail = lines.tail();
            assert_eq!(tail.len(), TAIL_BYTES);
            assert!(tail.ends_with("xthe end"));
        });
    }
}
