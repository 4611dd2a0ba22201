//! The stage image, inside whatever program links this.
//!
//! Needs no privilege. Gives private, sealed copies, ready to be executed, of it and of the handlers
//! beside it; never executes one.

pub mod handler;

use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::image::{self, Content};
use kickstage_sys::{Fd, file};
use std::ffi::CStr;

/// As the build has made it, in a section of its own: the kernel maps what lies around the data
/// that we do use.
#[unsafe(link_section = ".stage_image")]
static BYTES: [u8; include_bytes!(env!("KICKSTAGE_IMAGE")).len()] =
    *include_bytes!(env!("KICKSTAGE_IMAGE"));

unsafe extern "C" {
    /// The beginning of this program in memory, where the linker has put it: its ELF header.
    #[link_name = "__ehdr_start"]
    static HEADER: libc::Elf64_Ehdr;
}

const NAME: &CStr = c"kickstage";

/// A private, sealed copy, ready to be executed.
pub fn sealed() -> Result<Fd> {
    told(image::seal(NAME, &BYTES, Content::Program))
}

/// The same for a program that is linked as a whole: the copy is made from its file. Reading it
/// through our memory would map 200 kB that nobody needs afterwards.
pub fn sealed_from_program() -> Result<Fd> {
    let Some(offset) = file_offset() else { return sealed() };
    told(file::open_host(c"/proc/self/exe", libc::O_RDONLY).and_then(|own| {
        image::seal_part(NAME, own.borrow(), offset, BYTES.len(), Content::Program)
    }))
}

fn told(copy: kickstage_sys::Result<Fd>) -> Result<Fd> {
    copy.during(Role::Cli, "copy the stage image")
        .map_err(|error: Error| error.remedy("is /proc mounted, and vm.memfd_noexec below 2?"))
}

/// Where the image is in our file: memory and file differ by what its segment says (elf(5)).
fn file_offset() -> Option<u64> {
    let address = BYTES.as_ptr() as u64;
    let base = &raw const HEADER as u64;
    // SAFETY: the linker's symbol is the header of the running program, which is mapped whole
    // with its program headers; both stay mapped and unchanged.
    let (kind, segments) = unsafe {
        let header = &HEADER;
        let first = (base + header.e_phoff) as *const libc::Elf64_Phdr;
        (header.e_type, std::slice::from_raw_parts(first, usize::from(header.e_phnum)))
    };
    const ET_EXEC: u16 = 2;
    let moved = if kind == ET_EXEC { 0 } else { base };
    let holds = |segment: &&libc::Elf64_Phdr| {
        let start = segment.p_vaddr + moved;
        segment.p_type == libc::PT_LOAD && (start..start + segment.p_filesz).contains(&address)
    };
    let segment = segments.iter().find(holds)?;
    Some(address - (segment.p_vaddr + moved) + segment.p_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_the_image_byte_for_byte() {
        for copy in [sealed().unwrap(), sealed_from_program().unwrap()] {
            assert!(image::is_sealed(copy.borrow()));
            assert_eq!(image::map(copy.borrow(), 1 << 20).unwrap(), BYTES);
        }
        assert!(file_offset().is_some(), "the quick way is taken");
    }
}
