//! How many calls are made at once: of one origin, and in all. Who finds no place waits, within the call's time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use waxwing_event::origin::Origin;

/// Calls of one origin at once, of all handlers of a host.
const OF_ORIGIN: usize = 64;

/// Calls at once in all.
const IN_ALL: usize = 256;

/// The places of a client.
#[derive(Debug)]
pub(crate) struct Places {
    // As many as there are origins in manifests: only what is granted gets here.
    origins: Mutex<HashMap<Origin, Arc<Semaphore>>>,
    all: Arc<Semaphore>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _of_origin: Option<OwnedSemaphorePermit>,
    _in_all: Option<OwnedSemaphorePermit>,
}

impl Default for Places {
    fn default() -> Places {
        Places { origins: Mutex::default(), all: Arc::new(Semaphore::new(IN_ALL)) }
    }
}

impl Places {
    /// Waits for a place.
    pub(crate) async fn take(&self, origin: &Origin) -> Place {
        let of_origin = self.of(origin);
        // These are never closed, so that there always is a permit.
        Place {
            _of_origin: of_origin.acquire_owned().await.ok(),
            _in_all: self.all.clone().acquire_owned().await.ok(),
        }
    }

    fn of(&self, origin: &Origin) -> Arc<Semaphore> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        match origins.get(origin) {
            Some(known) => known.clone(),
            None => origins.entry(origin.clone()).or_insert(Arc::new(Semaphore::new(OF_ORIGIN))).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn an_origin_leaves_places_to_others() {
        let (places, mut context) = (Places::default(), Context::from_waker(Waker::noop()));
        let origin = |name: &str| format!("http://{name}").parse::<Origin>().unwrap();
        let mut take = |name: &str| {
            let origin = origin(name);
            match pin!(places.take(&origin)).poll(&mut context) {
                std::task::Poll::Ready(place) => Some(place),
                std::task::Poll::Pending => None,
            }
        };
        let mut taken: Vec<Place> = (0..OF_ORIGIN).map(|_| take("a").unwrap()).collect();
        assert!(take("a").is_none());
        for name in ["b", "c", "d"] {
            taken.extend((0..OF_ORIGIN).map(|_| take(name).unwrap()));
        }
        assert_eq!(taken.len(), IN_ALL);
        assert!(take("e").is_none());
        taken.pop();
        assert!(take("e").is_some());
    }
}
