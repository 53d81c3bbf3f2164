//! Which server is found, and the one owner of a folder.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::{env, fs, process};

use super::engine::{ENGINE_MARKER, Engine, Flavor, parse_banner};
use super::error::DevError;
use super::folder::{Folder, write};

/// The folder of one test, removed when this value is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("holdfast-{name}-{}", process::id()));
        fs::create_dir_all(&path).expect("the folder can be made");
        Self(path)
    }

    /// Adds a program that prints `banner` as its `--version`.
    fn with_program(self, name: &str, banner: &str) -> Self {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{banner}'\n")).expect("the program can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the program can be made executable");
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn without_a_server_the_error_names_what_to_install() {
    let place = Place::new("none").with_program("mysqld", "command not found");
    let folder = Folder::claim(&place.0.join("data folder")).expect("a new folder");
    let missing = Engine::choose(&folder, std::slice::from_ref(&place.0)).await.expect_err("there is no server");
    assert!(matches!(missing, DevError::NoServer), "{missing}");
    assert!(missing.to_string().contains("apt-get install mariadb-server-core"), "{missing}");
}

#[tokio::test]
async fn a_folder_stays_with_the_engine_that_made_it() {
    let place = Place::new("other").with_program("mariadbd", "mariadbd  Ver 10.11.6-MariaDB for Linux");
    let folder = Folder::claim(&place.0.join("database")).expect("a new folder");
    fs::create_dir(folder.data()).expect("a folder");
    write(&folder.data().join(ENGINE_MARKER), "MySQL").expect("a file");
    let places = std::slice::from_ref(&place.0);
    let other = Engine::choose(&folder, places).await.expect_err("MySQL made it");
    assert!(other.to_string().contains("initialised by MySQL"), "{other}");
    write(&folder.data().join(ENGINE_MARKER), "MariaDB").expect("a file");
    assert_eq!(Engine::choose(&folder, places).await.expect("its own engine").name(), "MariaDB 10.11.6");
}

#[tokio::test]
async fn a_folder_has_one_owner_at_a_time() {
    let place = Place::new("owner");
    let owner = Folder::claim(&place.0).expect("a new folder");
    let second = Folder::claim(&place.0).expect_err("it is in use");
    assert!(second.to_string().contains(&format!("process {}", process::id())), "{second}");
    drop(owner);
    Folder::claim(&place.0).expect("it is free again");
}

#[test]
fn a_server_is_known_by_its_banner() {
    let mariadb = "/usr/sbin/mysqld  Ver 11.4.2-MariaDB-ubu2404 for debian-linux-gnu on x86_64 (mariadb.org)";
    assert_eq!(parse_banner(mariadb), Some((Flavor::MariaDb, "11.4.2".to_owned())));
    let mysql = "mysqld  Ver 9.1.0 for Linux on x86_64 (MySQL Community Server - GPL)";
    assert_eq!(parse_banner(mysql), Some((Flavor::MySql, "9.1.0".to_owned())));
    assert_eq!(parse_banner("nothing of the kind"), None);
}
