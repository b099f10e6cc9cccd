//! The cache: a folder outside the checkout in which everything is kept by version.
//!
//! An entry is there in full or not at all: it is filled in a temporary folder and renamed, under
//! a file lock, so that test processes that start together install a thing once.

use std::{
    env,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use crate::{Error, Result, progress};

/// `$XDG_CACHE_HOME/confirmd`, else `~/.cache/confirmd`.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The user's cache.
    ///
    /// # Errors
    /// [`Error::Missing`] where neither variable that says where it lies is set.
    pub fn open() -> Result<Self> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let base = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .ok_or_else(|| Error::Missing {
                program: "a place for the cache".into(),
                install: "set HOME or XDG_CACHE_HOME to an absolute path".into(),
            })?;
        Ok(Self::at(base.join("confirmd")))
    }

    /// A cache in a folder of the caller's choice.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the entry `key` (a name with a version, such as `anvil-1.7.1`), which `fill`
    /// makes if it is not there: it is given an empty folder.
    ///
    /// # Errors
    /// Those of `fill`, after which the next call tries again; [`Error::Io`].
    pub fn entry(&self, key: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let entry = self.root.join(key);
        if entry.is_dir() {
            return Ok(entry);
        }
        let _lock = self.lock(key)?;
        if entry.is_dir() {
            return Ok(entry);
        }
        // Whatever lies there was left by a process that died: we hold the lock.
        let unfinished = self.root.join("tmp").join(key);
        remove(&unfinished)?;
        fs::create_dir_all(&unfinished).map_err(Error::path("create", &unfinished))?;
        progress::during(&format!("preparing {key} in {}", self.root.display()), || {
            fill(&unfinished)
        })?;
        fs::rename(&unfinished, &entry).map_err(Error::path("rename to", &entry))?;
        Ok(entry)
    }

    /// Held until the file is dropped, or the process ends.
    fn lock(&self, key: &str) -> Result<File> {
        let folder = self.root.join("locks");
        fs::create_dir_all(&folder).map_err(Error::path("create", &folder))?;
        let path = folder.join(key);
        let file = File::create(&path).map_err(Error::path("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress::say(&format!("waiting for another process that prepares {key} …"));
                file.lock().map_err(Error::path("lock", &path))?;
            }
            Err(TryLockError::Error(source)) => return Err(Error::path("lock", &path)(source)),
        }
        Ok(file)
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::path("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
    };

    #[test]
    fn processes_that_start_together_install_a_thing_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let installed = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let entry = cache.entry("thing-1", |folder| {
                        installed.fetch_add(1, Ordering::SeqCst);
                        fs::write(folder.join("a"), "a").map_err(Error::io("write"))
                    });
                    assert_eq!(fs::read_to_string(entry.unwrap().join("a")).unwrap(), "a");
                });
            }
        });
        assert_eq!(installed.into_inner(), 1);
    }

    #[test]
    fn an_install_that_failed_halfway_leaves_nothing_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let failed = cache.entry("thing-1", |folder| {
            fs::write(folder.join("half"), "").map_err(Error::io("write"))?;
            Err(Error::unexpected("thing", "broken"))
        });
        assert!(failed.is_err());
        let entry = cache.entry("thing-1", |_| Ok(())).unwrap();
        assert_eq!(fs::read_dir(entry).unwrap().count(), 0);
    }
}
