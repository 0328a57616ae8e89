//! Tests that compiled code on disk is used again only if this host wrote it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use gavel_model::ModuleDigest;
use gavel_sandbox::{Limits, Module, Runtime, RuntimeOptions, StartError};

use crate::support::{assert_works, private_folder, runtime, wasm};

fn digest() -> ModuleDigest {
    ModuleDigest::of(&wasm("hostile"))
}

async fn compile_into(folder: &Path) {
    let runtime = runtime(Limits::default(), Some(folder));
    assert!(runtime.load(digest()).await.is_none());
    runtime.prepare(digest(), wasm("hostile")).await.unwrap();
}

/// Loads the module from a cache, as a host does at start.
async fn load_from(folder: &Path) -> Option<Module> {
    runtime(Limits::default(), Some(folder))
        .load(digest())
        .await
}

fn code_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut code = files.filter(|path| path.extension().is_some_and(|e| e == "code"));
    let file = code.next().expect("the code is in the folder");
    assert_eq!(code.next(), None);
    file
}

#[tokio::test]
async fn code_that_was_compiled_before_is_not_compiled_again() {
    let folder = private_folder();
    compile_into(folder.path()).await;
    let options = RuntimeOptions {
        cache_dir: Some(folder.path().to_owned()),
        program: PathBuf::from("/nonexistent"),
        ..RuntimeOptions::default()
    };
    let without_compiler = Runtime::new(Limits::default(), options).unwrap();
    let module = without_compiler
        .prepare(digest(), wasm("hostile"))
        .await
        .unwrap();
    assert_eq!(module.digest(), digest());
    assert_works(&module);
}

#[tokio::test]
async fn a_forged_a_changed_and_a_cut_file_are_compiled_again() {
    let folder = private_folder();
    compile_into(folder.path()).await;
    let file = code_file(folder.path());
    let genuine = fs::read(&file).unwrap();
    assert!(load_from(folder.path()).await.is_some());

    let mut changed = genuine.clone();
    changed[genuine.len() / 2] ^= 1;
    let without_mac = genuine[..genuine.len() - 32].to_vec();
    let forged = [&without_mac[..], &[0; 32]].concat();
    let cut = genuine[..1000].to_vec();
    for bytes in [changed, without_mac, forged, cut, vec![0; 5], vec![]] {
        fs::write(&file, bytes).unwrap();
        assert!(load_from(folder.path()).await.is_none());
    }

    let runtime = runtime(Limits::default(), Some(folder.path()));
    assert_works(&runtime.prepare(digest(), wasm("hostile")).await.unwrap());
    assert_eq!(fs::read(&file).unwrap().len(), genuine.len());
    assert!(load_from(folder.path()).await.is_some());
}

#[tokio::test]
async fn code_of_one_module_is_no_good_under_the_name_of_another() {
    let folder = private_folder();
    compile_into(folder.path()).await;
    let file = code_file(folder.path());
    let other = ModuleDigest::of(b"other");
    let name = file.file_name().unwrap().to_str().unwrap();
    let renamed = file.with_file_name(name.replace(&digest().hex(), &other.hex()));
    fs::rename(&file, renamed).unwrap();
    let runtime = runtime(Limits::default(), Some(folder.path()));
    assert!(runtime.load(other).await.is_none());
}

#[tokio::test]
async fn code_of_another_host_is_no_good() {
    let (ours, theirs) = (private_folder(), private_folder());
    compile_into(ours.path()).await;
    compile_into(theirs.path()).await;
    fs::copy(code_file(theirs.path()), code_file(ours.path())).unwrap();
    assert!(load_from(ours.path()).await.is_none());
}

#[tokio::test]
async fn the_folder_the_key_and_the_code_are_the_users_alone() {
    let parent = private_folder();
    let folder = parent.path().join("code");
    compile_into(&folder).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("key")), 0o600);
    assert_eq!(mode(&code_file(&folder)), 0o600);
}

#[test]
fn a_folder_or_key_that_others_can_write_stops_the_start() {
    let start = |folder: &Path| {
        let options = RuntimeOptions {
            cache_dir: Some(folder.to_owned()),
            ..RuntimeOptions::default()
        };
        Runtime::new(Limits::default(), options).map(drop)
    };
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = private_folder();
    start(folder.path()).unwrap();

    let key = folder.path().join("key");
    allow(&key, 0o644);
    let refused = start(folder.path());
    assert!(matches!(refused, Err(StartError::Cache { path, .. }) if path == key));
    allow(&key, 0o600);

    allow(folder.path(), 0o770);
    let refused = start(folder.path());
    assert!(matches!(refused, Err(StartError::Cache { path, .. }) if path == folder.path()));
    allow(folder.path(), 0o700);

    let elsewhere = private_folder();
    let link = elsewhere.path().join("link");
    symlink(folder.path(), &link).unwrap();
    assert!(start(&link).is_err());
    assert!(start(folder.path()).is_ok());
}
