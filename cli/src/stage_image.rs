//! The stage image inside this program.

use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::image::{self, Content};
use kickstage_sys::{Fd, file};

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

/// A private, sealed copy, ready to be executed. It is made from the program's file: reading it
/// through our memory would map 200 kB that nobody needs afterwards.
pub(crate) fn sealed() -> Result<Fd> {
    let name = c"kickstage";
    let copy = match file_offset() {
        Some(offset) => file::open_host(c"/proc/self/exe", libc::O_RDONLY).and_then(|own| {
            image::seal_part(name, own.borrow(), offset, BYTES.len(), Content::Program)
        }),
        None => image::seal(name, &BYTES, Content::Program),
    };
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
        let copy = sealed().unwrap();
        assert!(image::is_sealed(copy.borrow()));
        assert_eq!(image::map(copy.borrow(), 1 << 20).unwrap(), BYTES);
        assert!(file_offset().is_some(), "the quick way is taken");
    }
}
