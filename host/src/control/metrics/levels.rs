//! What the engine's gauges, the sandbox and the log show, read when somebody asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicU64},
};

use jiff::Timestamp;
use opentelemetry::{KeyValue, metrics::Meter};
use waxwing_engine::{
    gauges::{Gauges, HandlerGauges},
    port::Log,
};
use waxwing_event::{HandlerName, HandlerSpec};

use super::{events::label, lag::Lag};
use crate::assemble::Showing;

type Field = fn(&Gauges) -> &AtomicU64;

/// How full a partition is: the sum of those that are served here.
const LEVELS: [(&str, &str, Field); 12] = [
    ("waxwing.partitions", "Partitions that this host serves", |g| &g.serving),
    ("waxwing.events_under_way", "Events that have begun and are not handled", |g| &g.under_way),
    ("waxwing.events_read_ahead", "Inputs between the watermark and the end of what was read", |g| &g.window),
    ("waxwing.keys_under_way", "Keys with an event under way or parked", |g| &g.lanes),
    (
        "waxwing.parked_events",
        "Events that wait in the log for another attempt, or behind one of their key",
        |g| &g.parked,
    ),
    ("waxwing.parked_keys", "Keys that are held up by parked events or dead letters", |g| &g.parked_keys),
    ("waxwing.timers", "Timers that are set", |g| &g.timers),
    ("waxwing.requests_waiting", "Requests that wait for their run", |g| &g.requests_waiting),
    ("waxwing.live_messages_waiting", "Live messages that wait for their run", |g| &g.live_waiting),
    ("waxwing.outage", "Partitions in outage", |g| &g.outage),
    ("waxwing.paused", "Partitions that an operator has paused", |g| &g.paused),
    ("waxwing.outbox_events", "Events read from the outbox that are not out", |g| &g.outbox),
];

/// What has come to pass since the host began.
const COUNTS: [(&str, &str, Field); 12] = [
    ("waxwing.attempts_failed", "Attempts that failed", |g| &g.failed),
    ("waxwing.events_parked", "Events that were parked, each time they were", |g| &g.parkings),
    ("waxwing.dead_letters", "Dead letters written", |g| &g.dead),
    (
        "waxwing.dead_letters_without_room",
        "Dead letters written because there was no room to park the event",
        |g| &g.refused,
    ),
    (
        "waxwing.conflicts",
        "Runs that ran again because another partition had written what they had read",
        |g| &g.conflicts,
    ),
    ("waxwing.duplicates", "Events that had been handled at another position", |g| &g.duplicates),
    ("waxwing.timers_fired", "Timers that fired", |g| &g.timers_fired),
    ("waxwing.timers_too_late", "Timers that fired and were cancelled or set anew before their run", |g| {
        &g.timers_too_late
    }),
    ("waxwing.requests_turned_away", "Requests that were refused because too many waited", |g| {
        &g.turned_away
    }),
    ("waxwing.live_messages_shed", "Live messages that were not handled", |g| &g.shed),
    ("waxwing.outbox_out", "Events that went out of the log", |g| &g.outbox_out),
    ("waxwing.outbox_set_aside", "Events that are refused outside", |g| &g.outbox_set_aside),
];

/// Everything that is read when somebody asks.
#[derive(Default)]
pub(super) struct Levels {
    of: OnceLock<Of>,
    hosted: Mutex<Vec<(Arc<HandlerSpec>, HandlerGauges)>>,
    lag: Mutex<BTreeMap<HandlerName, u64>>,
}

struct Of {
    showing: Showing,
    log: Arc<dyn Log>,
    lag: Lag,
}

impl Levels {
    /// What there is to read, from now on; the first counts.
    pub(super) fn of(&self, showing: Showing, log: Arc<dyn Log>, lag: Lag) {
        let _ = self.of.set(Of { showing, log, lag });
    }

    /// Looks which handlers there are, and how far they are behind.
    pub(super) async fn refresh(&self) {
        let Some(of) = self.of.get() else { return };
        // Where handlers come and go at this moment, those of before are shown.
        if let Some(hosted) = of.showing.hosted() {
            *locked(&self.hosted) = hosted;
        }
        let hosted = locked(&self.hosted).clone();
        let counted = of.lag.count(&hosted).await;
        *locked(&self.lag) = counted;
    }

    /// Makes the instruments that show it.
    pub(super) fn show(self: &Arc<Self>, meter: &Meter) {
        for (name, about, field) in LEVELS {
            let levels = self.clone();
            let callback =
                move |handler: &Parts| handler.serving().map(|gauges| Gauges::read(field(gauges))).sum();
            levels.gauge(meter, (name, about), callback);
        }
        for (name, about, field) in COUNTS {
            let levels = self.clone();
            let counter = meter.u64_observable_counter(name).with_description(about);
            let counter = counter.with_callback(move |observer| {
                for handler in levels.handlers() {
                    let all = handler.gauges.iter().map(|gauges| Gauges::read(field(gauges)));
                    observer.observe(all.sum(), &[handler.label]);
                }
            });
            counter.build();
        }
        self.gauge(
            meter,
            ("waxwing.events_read_ahead_bytes", "Bytes of the events that are read ahead"),
            |handler| handler.serving().map(|gauges| Gauges::read(&gauges.window_bytes)).sum(),
        );
        self.seconds(meter);
        self.behind(meter);
        self.host(meter);
    }

    fn gauge(
        self: &Arc<Self>,
        meter: &Meter,
        (name, about): (&'static str, &'static str),
        read: impl Fn(&Parts) -> u64 + Send + Sync + 'static,
    ) {
        let levels = self.clone();
        let gauge = meter.u64_observable_gauge(name).with_description(about);
        let gauge = gauge.with_callback(move |observer| {
            for handler in levels.handlers() {
                observer.observe(read(&handler), std::slice::from_ref(&handler.label));
            }
        });
        gauge.build();
    }

    /// Ages, in seconds.
    fn seconds(self: &Arc<Self>, meter: &Meter) {
        let levels = self.clone();
        let lag = meter.f64_observable_gauge("waxwing.lag").with_unit("s");
        let lag = lag.with_description("Age of the oldest event that was read and is not handled");
        let lag = lag.with_callback(move |observer| {
            let now = Timestamp::now().as_millisecond();
            for handler in levels.handlers() {
                let oldest =
                    handler.serving().map(|gauges| Gauges::read(&gauges.oldest_ms)).filter(|ms| *ms > 0);
                let oldest = oldest.min().and_then(|ms| i64::try_from(ms).ok());
                let age = oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
                observer.observe(from_ms(age.unsigned_abs()), &[handler.label]);
            }
        });
        lag.build();
        let levels = self.clone();
        let outbox = meter.f64_observable_gauge("waxwing.outbox_lag").with_unit("s");
        let outbox = outbox.with_description(
            "For how long the oldest event has waited to go out, as of the last checkpoint",
        );
        let outbox = outbox.with_callback(move |observer| {
            for handler in levels.handlers() {
                let behind = handler.gauges.iter().map(|gauges| Gauges::read(&gauges.outbox_behind_ms)).max();
                observer.observe(from_ms(behind.unwrap_or_default()), &[handler.label]);
            }
        });
        outbox.build();
    }

    fn behind(self: &Arc<Self>, meter: &Meter) {
        let levels = self.clone();
        let about =
            "Entries that a handler is to hear of and that are not handled, as the server counts them";
        let lag = meter.u64_observable_gauge("waxwing.lag_events").with_description(about);
        let lag = lag.with_callback(move |observer| {
            for (handler, count) in locked(&levels.lag).iter() {
                observer.observe(*count, &[label(handler)]);
            }
        });
        lag.build();
    }

    /// What the host has but once.
    fn host(self: &Arc<Self>, meter: &Meter) {
        let figure = |name, about, read: fn(&Of) -> u64| {
            let levels = self.clone();
            let gauge = meter.u64_observable_gauge(name).with_description(about);
            gauge.with_callback(move |observer| {
                levels.of.get().into_iter().for_each(|of| observer.observe(read(of), &[]));
            })
        };
        figure("waxwing.sandbox_instances", "Instances of modules that live now", |of| {
            of.showing.figures().instances
        })
        .build();
        figure("waxwing.sandbox_memories", "Memories of instances that live now", |of| {
            of.showing.figures().memories
        })
        .build();
        figure("waxwing.sandbox_idle_bytes", "Memory that is kept for the next instances", |of| {
            of.showing.figures().idle_bytes
        })
        .build();
        let count = |name, about, read: fn(&Of) -> u64| {
            let levels = self.clone();
            let counter = meter.u64_observable_counter(name).with_description(about);
            counter.with_callback(move |observer| {
                levels.of.get().into_iter().for_each(|of| observer.observe(read(of), &[]));
            })
        };
        count(
            "waxwing.module_loads",
            "Modules that were compiled, or read from the folder of compiled code",
            |of| of.showing.figures().loads,
        )
        .build();
        count("waxwing.connections_lost", "How often the connection to NATS was lost", |of| of.log.losses())
            .build();
        let levels = self.clone();
        let loading = meter.f64_observable_counter("waxwing.module_load_duration").with_unit("s");
        let loading = loading.with_description("Time in which modules were loaded, all of them together");
        let loading = loading.with_callback(move |observer| {
            let figures = levels.of.get().map(|of| of.showing.figures());
            figures.into_iter().for_each(|figures| observer.observe(figures.loading.as_secs_f64(), &[]));
        });
        loading.build();
        let build = meter
            .u64_observable_gauge("waxwing.build_info")
            .with_description("Always 1; the label tells the version");
        let version = [KeyValue::new("version", env!("CARGO_PKG_VERSION"))];
        build.with_callback(move |observer| observer.observe(1, &version)).build();
    }

    fn handlers(&self) -> Vec<Parts> {
        let parts = |(spec, gauges): &(Arc<HandlerSpec>, HandlerGauges)| Parts {
            label: label(&spec.name),
            gauges: gauges.all(),
        };
        locked(&self.hosted).iter().map(parts).collect()
    }
}

/// A handler's partitions.
struct Parts {
    label: KeyValue,
    gauges: Vec<Arc<Gauges>>,
}

impl Parts {
    fn serving(&self) -> impl Iterator<Item = &Arc<Gauges>> {
        self.gauges.iter().filter(|gauges| Gauges::read(&gauges.serving) > 0)
    }
}

fn from_ms(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
