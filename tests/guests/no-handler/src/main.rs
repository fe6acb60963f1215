//! A component that is a command, not a handler.

fn main() {
    println!("I handle nothing");
}
