//! Compiled code on disk.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Barrier, Mutex},
    thread,
};

use cap_std::{ambient_authority, fs::Dir};
use tempfile::TempDir;
use waxwing_sandbox::{Options, Sandbox};

use crate::{
    guest::guest,
    host::{State, done, run, spec},
};

fn run_with(cache: &TempDir) {
    let dir = Dir::open_ambient_dir(cache.path(), ambient_authority()).unwrap();
    let options =
        Options { cache: Some(dir), workers: 1.try_into().unwrap(), instances: 4, ..Options::default() };
    let sandbox = Sandbox::new(options).unwrap();
    let handler = sandbox.load(&spec(), &guest("(call $emit_one)")).unwrap();
    assert_eq!(done(run(&handler, b"", State::Away)).len(), 1);
}

/// The only file of compiled code.
fn only_file(cache: &TempDir) -> PathBuf {
    let files = fs::read_dir(cache.path()).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = files.filter(|file| file.extension().is_none_or(|kind| kind != "lock")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[test]
fn is_used_again() {
    let cache = tempfile::tempdir().unwrap();
    run_with(&cache);
    let written = fs::metadata(only_file(&cache)).unwrap().modified().unwrap();
    run_with(&cache);
    assert_eq!(fs::metadata(only_file(&cache)).unwrap().modified().unwrap(), written);
}

#[test]
fn is_compiled_again_where_it_is_damaged() {
    let cache = tempfile::tempdir().unwrap();
    run_with(&cache);
    let good = fs::read(only_file(&cache)).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for damaged in [flipped, good[..good.len() - 1].to_vec(), Vec::new()] {
        fs::write(only_file(&cache), damaged).unwrap();
        run_with(&cache);
        assert_eq!(fs::read(only_file(&cache)).unwrap().len(), good.len());
    }
}

/// What several threads log.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn is_compiled_once_for_all_who_need_it_at_once() {
    const HOSTS: usize = 4;
    let (cache, said, together) = (tempfile::tempdir().unwrap(), Said::default(), Barrier::new(HOSTS));
    let host = || {
        let writer = said.clone();
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        let log = log.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, || {
            together.wait();
            run_with(&cache);
        });
    };
    thread::scope(|scope| {
        for _ in 0..HOSTS {
            scope.spawn(host);
        }
    });
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    assert_eq!(said.matches("a module was compiled").count(), 1, "{said}");
    only_file(&cache);
}
