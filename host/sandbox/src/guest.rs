//! What the host knows of one instance, and of the run in it.

use std::{fmt, sync::Arc};

use wasmtime_wasi_http::WasiHttpCtxView;
use waxwing_engine::port::invoke::{StateUnavailable, StateView};
use waxwing_event::Event;

use crate::{
    effects::Buffer,
    handler::Loaded,
    imports::{http::Outbound, wasi::Wasi},
    lines::Lines,
    memory::MemoryLimit,
};

/// What a run is about.
#[derive(Clone)]
pub(crate) struct Task {
    /// The event to handle.
    pub(crate) event: Arc<Event>,
    /// State as the run sees it.
    pub(crate) state: Arc<dyn StateView>,
    /// True where somebody waits for a reply.
    pub(crate) is_asked: bool,
}

/// The host's side of an instance: the data of its store.
pub(crate) struct Guest {
    /// Its handler.
    pub(crate) handler: Arc<Loaded>,
    /// The run's committed state; none between runs.
    pub(crate) state: Option<Arc<dyn StateView>>,
    /// True where somebody waits for the run's reply.
    pub(crate) is_asked: bool,
    /// What the run wants written.
    pub(crate) effects: Buffer,
    /// Its memory.
    pub(crate) memory: MemoryLimit,
    /// The last failure to read state in this run.
    pub(crate) state_unavailable: Option<StateUnavailable>,
    /// How often the run has asked others over the broker.
    pub(crate) questions: u32,
    /// Bytes of the messages that the guest holds as resources.
    pub(crate) held_bytes: u64,
    event: Option<Arc<Event>>,
    lines: Option<Lines>,
    wasi: Option<Box<Wasi>>,
    outbound: Option<Box<Outbound>>,
}

impl Guest {
    /// The host's side of a new instance.
    pub(crate) fn new(handler: Arc<Loaded>) -> Guest {
        Guest {
            memory: MemoryLimit::new(handler.limits.memory_bytes),
            handler,
            state: None,
            is_asked: false,
            effects: Buffer::default(),
            state_unavailable: None,
            questions: 0,
            held_bytes: 0,
            event: None,
            lines: None,
            wasi: None,
            outbound: None,
        }
    }

    /// Begins a run.
    pub(crate) fn begin(&mut self, task: Task) {
        if let Some(lines) = &self.lines {
            lines.begin(Some(task.event.clone()), &self.handler.limits);
        }
        self.memory.begin();
        if let Some(outbound) = &mut self.outbound {
            outbound.begin(task.event.clone());
        }
        self.event = Some(task.event);
        self.state = Some(task.state);
        self.is_asked = task.is_asked;
    }

    /// Ends a run: nothing of it stays.
    pub(crate) fn end(&mut self) {
        if let Some(lines) = &self.lines {
            lines.end();
        }
        self.effects = Buffer::default();
        self.state_unavailable = None;
        self.questions = 0;
        self.event = None;
        self.state = None;
        self.is_asked = false;
    }

    /// The event that is handled; none between runs.
    pub(crate) fn event(&self) -> Option<Arc<Event>> {
        self.event.clone()
    }

    /// The run's lines. Most runs write none, so they are made when they are first asked for.
    pub(crate) fn lines(&mut self) -> &Lines {
        let (event, handler) = (&self.event, &self.handler);
        self.lines.get_or_insert_with(|| {
            let ear = handler.surroundings.study.as_ref().and_then(|study| study.ear.clone());
            let lines = Lines::new(handler.name.clone(), ear);
            lines.begin(event.clone(), &handler.limits);
            lines
        })
    }

    /// The end of what the run wrote to standard error.
    pub(crate) fn tail(&self) -> String {
        self.lines.as_ref().map(Lines::tail).unwrap_or_default()
    }

    /// The instance's WASI. Most runs use none of it, so it is made when it is first asked for.
    pub(crate) fn wasi(&mut self) -> &mut Wasi {
        let lines = match &self.wasi {
            Some(_) => None,
            None => Some(self.lines().clone()),
        };
        let study = self.handler.surroundings.study.as_ref();
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(lines, study)))
    }

    /// The instance's HTTP. Most runs call nothing, so it is made when it is first asked for.
    pub(crate) fn outbound(&mut self) -> WasiHttpCtxView<'_> {
        let lines = self.lines().clone();
        let (handler, event) = (&self.handler, &self.event);
        let study = handler.surroundings.study.as_ref();
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(Some(lines.clone()), study)));
        let outbound = self
            .outbound
            .get_or_insert_with(|| Box::new(Outbound::new(handler.clone(), event.clone(), lines)));
        let Outbound { context, calls } = outbound.as_mut();
        WasiHttpCtxView { ctx: context, table: wasi.table(), hooks: calls }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A run that was cut off has not ended its lines.
        if self.event.is_some() {
            self.end();
        }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("handler", &self.handler.name).finish_non_exhaustive()
    }
}
