//! Where the images are, and where CRIU works.

use crate::options::Common;
use kickstage_config::plan::{MappedTree, Mapping};
use kickstage_config::starter::IdMap;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, Fd, FdRef};

/// The open directories.
pub(crate) struct Directories {
    pub(crate) images: Fd,
    images_path: Text,
    pub(crate) work: Fd,
    /// Where logs are, for people.
    pub(crate) work_path: Text,
}

impl Directories {
    pub(crate) fn of(asked: &Common, images: Images) -> Result<Self> {
        let work_path = asked.work.clone().unwrap_or_else(|| asked.images.clone());
        if images == Images::New {
            make(&asked.images)?;
        }
        make(&work_path)?;
        let (images, work) = (open(&asked.images)?, open(&work_path)?);
        Ok(Self { images, images_path: asked.images.clone(), work, work_path })
    }

    /// In another mount namespace, under the same numbers: CRIU mounts in the work directory.
    pub(crate) fn open_again(&self) -> Result<()> {
        for (path, old) in [(&self.images_path, &self.images), (&self.work_path, &self.work)] {
            file::place(open(path)?.borrow(), old.raw()).during_on(
                Role::Checkpoint,
                "open again",
                path,
            )?;
        }
        Ok(())
    }

    /// CRIU reads images as the root of a container's user namespace, too, who sees them as its own
    /// by that. A process that is no user of it yet does so as well: by the group, which stays.
    pub(crate) fn lend_images(&self, users: &IdMap) -> Result<()> {
        let during = |what| move |errno| Error::new(Role::Checkpoint, what).errno(errno);
        let ranges = users.mappings().iter();
        let uids: Vec<_> =
            ranges.map(|range| (range.container_id, range.host_id, range.size)).collect();
        let found = file::stat(self.images.borrow()).map_err(during("stat the images"))?;
        // somebody may have given them to it
        if uids.iter().any(|(inside, outside, _)| *inside == 0 && *outside == found.uid) {
            return Ok(());
        }
        file::chmod(self.images.borrow(), (found.mode | libc::S_IXGRP) & 0o7777)
            .map_err(during("let the group into the images"))?;
        let tree = kickstage_master::mapped_tree(&MappedTree {
            key: String::new(),
            source: self.images_path.clone(),
            recursive: false,
            map_recursive: false,
            mapping: Mapping::Ranges(uids, vec![(0, 0, u32::MAX)]),
        })
        .map_err(|error| error.remedy("or give them to the container's root: chown -R"))?;
        file::place(tree.borrow(), self.images.raw()).map_err(during("map the ids of the images"))
    }
}

/// Whether the images are yet to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Images {
    New,
    There,
}

fn make(path: &Text) -> Result<()> {
    match file::mkdir(FdRef::CWD, path, 0o700) {
        Ok(()) | Err(Errno(libc::EEXIST)) => Ok(()),
        Err(errno) => Err(errno).during_on(Role::Checkpoint, "make directory", path),
    }
}

fn open(path: &Text) -> Result<Fd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    file::open(FdRef::CWD, path, flags, 0, Resolve::Anywhere).map_err(|errno| {
        let error = Error::new(Role::Checkpoint, "open directory").on(path).errno(errno);
        match errno.0 {
            libc::ENOENT => error.remedy("name the images of a checkpoint with --image-path"),
            _ => error,
        }
    })
}
