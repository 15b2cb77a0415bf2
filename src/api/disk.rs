//! The disk of the data directory, and how much of it the store takes.

use std::path::Path;

use crate::config;
use crate::files;

/// The space of the data directory's file system.
pub(super) struct Disk {
    /// The bytes that this process's user may still use.
    pub(super) free_bytes: u64,
    pub(super) total_bytes: u64,
}

impl Disk {
    /// The disk of this data directory, if the system reports it.
    pub(super) fn of(data_dir: &Path) -> Option<Self> {
        let found = rustix::fs::statvfs(data_dir).ok()?;
        Some(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

/// The name of the data directory's file system, or its magic number.
pub(super) fn kind_of(data_dir: &Path) -> Option<String> {
    let magic = rustix::fs::statfs(data_dir).ok()?.f_type;
    // On some machines the field is signed.
    let magic = u32::try_from(magic & 0xFFFF_FFFF).ok()?;
    let name = name_of(magic).map(str::to_owned);
    Some(name.unwrap_or_else(|| format!("{magic:#x}")))
}

/// The name of the file system with a magic number (`statfs(2)`). All numbers are from
/// `linux/magic.h`, except that of zfs, which the file does not list.
fn name_of(magic: u32) -> Option<&'static str> {
    let name = match magic {
        0x0000_EF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x2FC1_2FC1 => "zfs",
        0xF2F5_2010 => "f2fs",
        0x0102_1994 => "tmpfs",
        0x8584_58F6 => "ramfs",
        0x794C_7630 => "overlay",
        0x0000_6969 => "nfs",
        0xFF53_4D42 => "cifs",
        0xFE53_4D42 => "smb2",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        0x00C3_6400 => "ceph",
        _ => return None,
    };
    Some(name)
}

/// The space that the store's file takes on the disk.
pub(super) fn store_bytes(data_dir: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(config::store_path(data_dir)).ok()?;
    Some(files::bytes_on_disk(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The store's file has a hole, because space at its end is reserved in large steps.
    #[test]
    fn holes_of_the_store_take_nothing_of_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = std::fs::File::create(config::store_path(folder.path())).expect("made");
        store.set_len(1 << 40).expect("a hole");
        assert!(store_bytes(folder.path()) < Some(1 << 20));
    }
}
