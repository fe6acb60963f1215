//! What the handler macro's code calls. Not part of the promise to authors.

use crate::bindings::waxwing::events::types;
use crate::{Context, Data, Event, Outcome};

#[cfg(target_family = "wasm")]
pub use crate::bindings::exports::waxwing::events::handler::Guest;
pub use types::{Event as Record, Failure as WireFailure};

/// Holds at compile time, on every target, that a function is a handler.
pub const fn assert_handler<T: Data>(_: fn(Event<T>, &mut Context) -> Outcome) {}

/// One call of the component's export.
///
/// # Errors
/// The handler's own failure, or that the data is not what it expects.
#[cfg(target_family = "wasm")]
#[inline]
pub fn handle<T: Data>(
    handler: fn(Event<T>, &mut Context) -> Outcome,
    record: Record,
) -> Result<(), WireFailure> {
    let event = Event::decode(record).map_err(|error| crate::Failure::of_data(&error).into_wire())?;
    handler(event, &mut Context::of_host()).map_err(crate::Failure::into_wire)
}

/// One call of the export of a handler with aggregates: the host may ask what one of them was.
///
/// # Errors
/// As [`handle`].
#[cfg(target_family = "wasm")]
#[inline]
pub fn handle_of<A: crate::Aggregate, T: Data>(
    handler: fn(Event<T>, &mut Context) -> Outcome,
    record: Record,
) -> Result<(), WireFailure> {
    if crate::aggregate::is_asked(&record) {
        let told = crate::aggregate::tell::<A>(&record, &mut Context::of_host());
        return told.map_err(crate::Failure::into_wire);
    }
    handle(handler, record)
}

/// The component's export for one function.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_handler {
    ($handler:ident) => {
        $crate::__export_handler!(@ $crate::__private::handle, $handler);
    };
    ($handler:ident $aggregate:ty) => {
        $crate::__export_handler!(@ $crate::__private::handle_of::<$aggregate, _>, $handler);
    };
    (@ $handle:expr, $handler:ident) => {
        const _: () = {
            struct Component;
            impl $crate::__private::Guest for Component {
                #[inline]
                fn handle(
                    event: $crate::__private::Record,
                ) -> ::core::result::Result<(), $crate::__private::WireFailure> {
                    $handle($handler, event)
                }
            }
    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}
