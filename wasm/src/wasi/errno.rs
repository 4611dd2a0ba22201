//! Error numbers: the interface has its own, in the order of their names.

use rustix::io::Errno as Kernel;

/// An `errno` of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Errno(pub(super) u16);

macro_rules! errnos {
    ($($number:literal $name:ident $kernel:ident)*) => {
        impl Errno {
            $(pub(super) const $name: Self = Self($number);)*
        }

        impl From<Kernel> for Errno {
            fn from(errno: Kernel) -> Self {
                match errno {
                    $(Kernel::$kernel => Self::$name,)*
                    // what only some file systems and devices say
                    _ => Self::IO,
                }
            }
        }
    };
}

// EAGAIN and EOPNOTSUPP have two names each; EWOULDBLOCK and ENOTSUP are the same numbers.
errnos! {
    1 TOOBIG TOOBIG
    2 ACCES ACCESS
    3 ADDRINUSE ADDRINUSE
    4 ADDRNOTAVAIL ADDRNOTAVAIL
    5 AFNOSUPPORT AFNOSUPPORT
    6 AGAIN AGAIN
    7 ALREADY ALREADY
    8 BADF BADF
    9 BADMSG BADMSG
    10 BUSY BUSY
    11 CANCELED CANCELED
    12 CHILD CHILD
    13 CONNABORTED CONNABORTED
    14 CONNREFUSED CONNREFUSED
    15 CONNRESET CONNRESET
    16 DEADLK DEADLK
    17 DESTADDRREQ DESTADDRREQ
    18 DOM DOM
    19 DQUOT DQUOT
    20 EXIST EXIST
    21 FAULT FAULT
    22 FBIG FBIG
    23 HOSTUNREACH HOSTUNREACH
    24 IDRM IDRM
    25 ILSEQ ILSEQ
    26 INPROGRESS INPROGRESS
    27 INTR INTR
    28 INVAL INVAL
    29 IO IO
    30 ISCONN ISCONN
    31 ISDIR ISDIR
    32 LOOP LOOP
    33 MFILE MFILE
    34 MLINK MLINK
    35 MSGSIZE MSGSIZE
    36 MULTIHOP MULTIHOP
    37 NAMETOOLONG NAMETOOLONG
    38 NETDOWN NETDOWN
    39 NETRESET NETRESET
    40 NETUNREACH NETUNREACH
    41 NFILE NFILE
    42 NOBUFS NOBUFS
    43 NODEV NODEV
    44 NOENT NOENT
    45 NOEXEC NOEXEC
    46 NOLCK NOLCK
    47 NOLINK NOLINK
    48 NOMEM NOMEM
    49 NOMSG NOMSG
    50 NOPROTOOPT NOPROTOOPT
    51 NOSPC NOSPC
    52 NOSYS NOSYS
    53 NOTCONN NOTCONN
    54 NOTDIR NOTDIR
    55 NOTEMPTY NOTEMPTY
    56 NOTRECOVERABLE NOTRECOVERABLE
    57 NOTSOCK NOTSOCK
    58 NOTSUP OPNOTSUPP
    59 NOTTY NOTTY
    60 NXIO NXIO
    61 OVERFLOW OVERFLOW
    62 OWNERDEAD OWNERDEAD
    63 PERM PERM
    64 PIPE PIPE
    65 PROTO PROTO
    66 PROTONOSUPPORT PROTONOSUPPORT
    67 PROTOTYPE PROTOTYPE
    68 RANGE RANGE
    69 ROFS ROFS
    70 SPIPE SPIPE
    71 SRCH SRCH
    72 STALE STALE
    73 TIMEDOUT TIMEDOUT
    74 TXTBSY TXTBSY
    // openat2(2) says so when a path leads out of its directory, and rename(2) between file systems
    75 XDEV XDEV
}

impl Errno {
    /// A path leads out of its directory.
    pub(super) const NOTCAPABLE: Self = Self(76);
}
