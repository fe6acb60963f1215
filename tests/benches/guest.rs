//! The bench's guest, `guest-echo`, and a handler of it.

use std::{path::Path, sync::OnceLock};

use waxwing_event::{HandlerSpec, handler::Instance, name::NameError};

/// The module's bytes; built when first asked for.
pub fn module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| built("tests/guests/echo"))
}

/// The bytes of the module of a crate of the repository.
pub fn built(folder: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let built = waxwing::module::build(std::slice::from_ref(&folder)).unwrap();
    std::fs::read(built.values().next().unwrap()).unwrap()
}

/// A handler of `<name>.in` that emits to `<name>.out`.
pub fn spec(name: &str, instance: Instance, state: bool) -> Result<HandlerSpec, NameError> {
    let mut spec = HandlerSpec::new(name.parse()?, vec![format!("{name}.in").parse().unwrap()]);
    spec.instance = instance;
    spec.grants.emit = vec![format!("{name}.out").parse().unwrap()];
    spec.settings.insert("to".to_owned(), format!("{name}.out"));
    if state {
        spec.key = vec!["data.name".parse().unwrap()];
        spec.settings.insert("state".to_owned(), "yes".to_owned());
    }
    Ok(spec)
}
